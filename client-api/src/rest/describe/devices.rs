//! `devices`: the devices of the own account.

use posthouse_protocol::{
    id::DeviceId,
    problem::Code,
    rest::keys::{Devices, RenameDevice},
};

use crate::documents::{Operation, operation};

/// `devices::list`
pub(in crate::rest) fn list() -> Operation {
    operation("List the devices", "Those of the own account, by number.").gives::<Devices>(
        200,
        r#"{"devices":[{"device_id":"f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c",
                "device":1,"registration_id":4711,"name":"Alice's phone",
                "created_at":1705234567890,"active_at":1705235467890,"listed":true,
                "current":true}]}"#,
    )
}

/// `devices::rename`
pub(in crate::rest) fn rename() -> Operation {
    operation("Rename a device", "A device of the own account.")
        .path::<DeviceId>("id", "A device of the account.", "f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c")
        .takes::<RenameDevice>(r#"{"name":"Alice's old phone"}"#)
        .fails(&[Code::NotFound])
        .done()
}

/// `devices::revoke`
pub(in crate::rest) fn revoke() -> Operation {
    operation(
        "Remove a device",
        "Ends its sessions and cuts its socket at once. Another device then signs \
         the next device list.",
    )
    .path::<DeviceId>("id", "A device of the account.", "f7a3c1de-6e7c-4a8b-9b41-0d1c2f3a4b5c")
    .fails(&[Code::NotFound])
    .done()
}
