//! Notices about groups, as entries of inboxes.
//!
//! ```text
//! slot   'g' ‖ conversation (16)
//! data   event (1) ‖ epoch (8, big-endian) ‖ hash (32) ‖ the group's id as text
//! ```

use posthouse_protocol::{
    frame::GroupEvent,
    id::{ConversationId, GroupId},
};
use posthouse_storage::{
    error::StoreError,
    groups::{GroupNotice, Head},
};

use crate::db::Fields;

/// First byte of the slots of notices.
const SLOT_GROUP: u8 = b'g';

/// Slot and data of a notice.
pub(super) fn written(notice: &GroupNotice) -> (Vec<u8>, Vec<u8>) {
    let event = match notice.event {
        GroupEvent::Epoch => 0,
        GroupEvent::Invited => 1,
        GroupEvent::Gone => 2,
    };
    let slot = [&[SLOT_GROUP][..], &ConversationId::group(&notice.group).0].concat();
    let epoch = notice.head.epoch.to_be_bytes();
    let group = notice.group.to_string();
    (slot, [&[event][..], &epoch, &notice.head.hash, group.as_bytes()].concat())
}

/// Reads slot and data of an entry; `None` if it is no notice about a group.
pub(crate) fn parse(
    fields: &Fields<'_>,
    slot: &[u8],
    data: Option<&[u8]>,
) -> Result<Option<GroupNotice>, StoreError> {
    if slot.first() != Some(&SLOT_GROUP) {
        return Ok(None);
    }
    let wrong = || fields.corrupt("data", "no notice about a group");
    let data = data.unwrap_or_default();
    let (event, data) = data.split_first().ok_or_else(wrong)?;
    let (epoch, data) = data.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (hash, group) = data.split_first_chunk::<32>().ok_or_else(wrong)?;
    let group = core::str::from_utf8(group).map_err(|_| wrong())?;
    let event = match event {
        0 => GroupEvent::Epoch,
        1 => GroupEvent::Invited,
        2 => GroupEvent::Gone,
        _ => return Err(wrong()),
    };
    let head = Head { epoch: u64::from_be_bytes(*epoch), hash: *hash };
    Ok(Some(GroupNotice { event, group: GroupId::parse(group).map_err(|_| wrong())?, head }))
}
