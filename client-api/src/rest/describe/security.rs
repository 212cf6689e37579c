//! `security`: what protects the account, and its end.

use posthouse_protocol::{
    problem::Code,
    rest::{
        AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, RecoveryCodes, SetPin,
        TotpSecret,
    },
};

use crate::documents::{Operation, operation};

/// `security::show`
pub(in crate::rest) fn show() -> Operation {
    operation(
        "What protects the account",
        "Whether log-in asks for codes, how many recovery codes are left, and \
         whether linking asks for a PIN.",
    )
    .gives::<AccountSecurity>(200, r#"{"totp":true,"recovery_codes":9,"pin":false}"#)
}

/// `security::change_password`
pub(in crate::rest) fn change_password() -> Operation {
    operation(
        "Change the password",
        "Ends all other sessions; their devices stay, and log in again with the \
         new password.",
    )
    .takes::<ChangePassword>(
        r#"{"current_password":"correct horse battery staple",
                "new_password":"a different horse altogether"}"#,
    )
    .fails(&[Code::WrongCredentials, Code::RateLimited, Code::Overloaded, Code::WeakPassword])
    .done()
}

/// `security::enrol_totp`
pub(in crate::rest) fn enrol_totp() -> Operation {
    operation(
        "Begin with one-time passwords",
        "Makes a secret for an authenticator: RFC 6238 with SHA-1, 30 seconds, 6 \
         digits. Nothing is asked for at log-in before it is confirmed.",
    )
    .takes::<Confirmation>(r#"{"current_password":"correct horse battery staple"}"#)
    .fails(&[Code::WrongCredentials, Code::RateLimited, Code::Overloaded])
    .gives::<TotpSecret>(200, TOTP_SECRET)
}

/// `security::confirm_totp`
pub(in crate::rest) fn confirm_totp() -> Operation {
    operation(
        "Confirm one-time passwords",
        "Shows that the authenticator has the secret. From now on log-ins ask for \
         codes. The recovery codes are told this once.",
    )
    .takes::<ConfirmTotp>(r#"{"code":"287082"}"#)
    .fails(&[Code::WrongCode, Code::RateLimited])
    .gives::<RecoveryCodes>(
        200,
        r#"{"recovery_codes":["5h2k-0wq9-ae4r-mm7t","s1xg-p3dv-88cz-jn06"]}"#,
    )
}

/// `security::remove_totp`
pub(in crate::rest) fn remove_totp() -> Operation {
    operation(
        "Turn one-time passwords off",
        "Removes them and the recovery codes. Asks for the password and a code.",
    )
    .takes::<Confirmation>(r#"{"current_password":"correct horse battery staple","code":"492039"}"#)
    .fails(&[
        Code::WrongCredentials,
        Code::RateLimited,
        Code::Overloaded,
        Code::CodeRequired,
        Code::WrongCode,
    ])
    .done()
}

/// `security::renew_codes`
pub(in crate::rest) fn renew_codes() -> Operation {
    operation(
        "Make new recovery codes",
        "In place of all old ones. Asks for the password and a code.",
    )
    .takes::<Confirmation>(r#"{"current_password":"correct horse battery staple","code":"492039"}"#)
    .fails(&[
        Code::WrongCredentials,
        Code::RateLimited,
        Code::Overloaded,
        Code::CodeRequired,
        Code::WrongCode,
    ])
    .gives::<RecoveryCodes>(
        200,
        r#"{"recovery_codes":["5h2k-0wq9-ae4r-mm7t","s1xg-p3dv-88cz-jn06"]}"#,
    )
}

/// `security::set_pin`
pub(in crate::rest) fn set_pin() -> Operation {
    operation(
        "Set the PIN",
        "Sets or changes the PIN, 6 to 12 digits, that linking a device asks for.",
    )
    .takes::<SetPin>(r#"{"current_password":"correct horse battery staple","pin":"271828"}"#)
    .fails(&[Code::WrongCredentials, Code::RateLimited, Code::Overloaded])
    .done()
}

/// `security::remove_pin`
pub(in crate::rest) fn remove_pin() -> Operation {
    operation("Remove the PIN", "Linking a device no longer asks for one.")
        .takes::<Confirmation>(r#"{"current_password":"correct horse battery staple"}"#)
        .fails(&[Code::WrongCredentials, Code::RateLimited, Code::Overloaded])
        .done()
}

/// `security::delete_account`
pub(in crate::rest) fn delete_account() -> Operation {
    operation(
        "Delete the account",
        "For good, as soon as it is answered. The handle is never given out \
         again. Asks for the password, and a code if the account has one-time \
         passwords.",
    )
    .takes::<Confirmation>(r#"{"current_password":"correct horse battery staple","code":"492039"}"#)
    .fails(&[
        Code::WrongCredentials,
        Code::RateLimited,
        Code::Overloaded,
        Code::CodeRequired,
        Code::WrongCode,
    ])
    .done()
}

const TOTP_SECRET: &str = concat!(
    r#"{"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","uri":"otpauth://totp/eu.example:alice"#,
    "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=eu.example&algorithm=SHA1&digits=6",
    r#"&period=30"}"#
);
