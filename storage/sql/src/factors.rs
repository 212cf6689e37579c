//! The port `Factors`.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use posthouse_storage::{
    accounts::PasswordHash,
    backoff::Backoff,
    error::StoreError,
    factors::{Factors, PinTry, Protection, RecoveryHash, TOTP_SECRET, Totp},
};
use uuid::Uuid;

use crate::{
    db::{Script, Tx},
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    PROTECTION = Statement::new(
        "SELECT (SELECT COUNT(*) FROM totp WHERE account = ? AND active = 1),
            (SELECT COUNT(*) FROM recovery_codes WHERE account = ?),
            (SELECT COUNT(*) FROM pins WHERE account = ?)",
    );
    TOTP = Statement::new("SELECT secret, active, last_step FROM totp WHERE account = ?");
    ENROL = Statement::new(
        "INSERT INTO totp (account, secret, active, last_step)
        SELECT id, ?, 0, 0 FROM accounts WHERE id = ? AND state < 2
        ON CONFLICT (account) DO UPDATE SET secret = excluded.secret, last_step = 0
        WHERE totp.active = 0",
    );
    ACTIVATE = Statement::new(
        "UPDATE totp SET active = 1, last_step = ? WHERE account = ? AND secret = ? AND active = 0",
    );
    USE_STEP = Statement::new(
        "UPDATE totp SET last_step = ? WHERE account = ? AND active = 1 AND last_step < ?",
    );
    REMOVE_TOTP = Statement::new("DELETE FROM totp WHERE account = ?");
    REMOVE_CODES = Statement::new("DELETE FROM recovery_codes WHERE account = ?");
    ADD_CODES = Statement::rows("bb", "INSERT INTO recovery_codes (account, code) {new}");
    USE_CODE = Statement::new("DELETE FROM recovery_codes WHERE account = ? AND code = ?");
    SET_PIN = Statement::new(
        "INSERT INTO pins (account, hash, failures, blocked_until)
        SELECT id, ?, 0, 0 FROM accounts WHERE id = ? AND state < 2
        ON CONFLICT (account) DO UPDATE
        SET hash = excluded.hash, failures = 0, blocked_until = 0",
    );
    REMOVE_PIN = Statement::new("DELETE FROM pins WHERE account = ?");
    /// Tries run one after the other.
    LOCK_PIN = Statement::new(
        "SELECT hash, failures, blocked_until FROM pins WHERE account = ? /*pg:FOR UPDATE*/",
    );
    COUNT_TRY = Statement::new(
        "UPDATE pins SET failures = ?, blocked_until = ? WHERE account = ?",
    );
}

#[async_trait]
impl Factors for SqlStore {
    async fn protection(&self, account: Uuid) -> Result<Protection, StoreError> {
        let rows = self.db().rows(&PROTECTION, |args| {
            args.uuid(account).uuid(account).uuid(account);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else {
            return Ok(Protection { totp: false, recovery_codes: 0, pin: false });
        };
        let mut fields = row.fields("totp");
        let totp = fields.number("active")? > 0;
        let codes = fields.of("recovery_codes").number("code")?;
        let recovery_codes = fields.parse("code", codes, u32::try_from)?;
        Ok(Protection { totp, recovery_codes, pin: fields.of("pins").number("hash")? > 0 })
    }

    async fn totp(&self, account: Uuid) -> Result<Option<Totp>, StoreError> {
        let rows = self.db().rows(&TOTP, |args| {
            args.uuid(account);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("totp");
        Ok(Some(Totp {
            secret: fields.array("secret")?.into(),
            active: fields.integer("active")? == 1,
            last_step: fields.number("last_step")?,
        }))
    }

    async fn enrol_totp(
        &self,
        account: Uuid,
        secret: &[u8; TOTP_SECRET],
    ) -> Result<bool, StoreError> {
        let enrolled = self.change(&ENROL, |args| {
            args.bytes(secret).uuid(account);
        });
        Ok(enrolled.await? == 1)
    }

    async fn activate_totp(
        &self,
        account: Uuid,
        secret: &[u8; TOTP_SECRET],
        step: u64,
        codes: &[RecoveryHash],
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let activated = script.one(&ACTIVATE, |args| {
            args.number(step).uuid(account).bytes(secret);
        });
        if tx.run(script).await?.changed(&activated) == 0 {
            tx.cancel().await?;
            return Ok(false);
        }
        put_codes(tx, account, codes).await?;
        Ok(true)
    }

    async fn use_totp_step(&self, account: Uuid, step: u64) -> Result<bool, StoreError> {
        let used = self.change(&USE_STEP, |args| {
            args.number(step).uuid(account).number(step);
        });
        Ok(used.await? == 1)
    }

    async fn remove_totp(&self, account: Uuid) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        remove_totp(&mut script, account);
        tx.finish(script).await?;
        Ok(())
    }

    async fn replace_recovery_codes(
        &self,
        account: Uuid,
        codes: &[RecoveryHash],
    ) -> Result<(), StoreError> {
        let tx = self.db().begin().await.map_err(StoreError::from)?;
        Ok(put_codes(tx, account, codes).await?)
    }

    async fn use_recovery_code(
        &self,
        account: Uuid,
        code: &RecoveryHash,
    ) -> Result<bool, StoreError> {
        let used = self.change(&USE_CODE, |args| {
            args.uuid(account).bytes(code);
        });
        Ok(used.await? == 1)
    }

    async fn set_pin(&self, account: Uuid, hash: &PasswordHash) -> Result<(), StoreError> {
        let set = self.change(&SET_PIN, |args| {
            args.text(&hash.0).uuid(account);
        });
        set.await?;
        Ok(())
    }

    async fn remove_pin(&self, account: Uuid) -> Result<(), StoreError> {
        let removed = self.change(&REMOVE_PIN, |args| {
            args.uuid(account);
        });
        removed.await?;
        Ok(())
    }

    async fn try_pin(
        &self,
        account: Uuid,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<PinTry, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.count_try(account, backoff, now).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn pin_was_right(&self, account: Uuid) -> Result<(), StoreError> {
        let counted = self.change(&COUNT_TRY, |args| {
            args.number(0).number(0).uuid(account);
        });
        counted.await?;
        Ok(())
    }
}

impl SqlStore {
    async fn count_try(
        &self,
        account: Uuid,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<PinTry, Failure> {
        let mut tx = self.db().begin().await?;
        let found = tx.rows(&LOCK_PIN, |args| {
            args.uuid(account);
        });
        let found = found.await?;
        let Some(row) = found.first() else {
            tx.cancel().await?;
            return Ok(PinTry::NoPin);
        };
        let mut fields = row.fields("pins");
        let hash = PasswordHash(fields.text("hash")?.to_owned());
        let failures = fields.number("failures")?;
        let failures = fields.parse("failures", failures, u32::try_from)?.saturating_add(1);
        let blocked_until = fields.time("blocked_until")?;
        if now < blocked_until {
            tx.cancel().await?;
            return Ok(PinTry::Wait(blocked_until));
        }
        let mut script = tx.script();
        script.one(&COUNT_TRY, |args| {
            args.number(failures.into())
                .number(now.plus_millis(backoff.delay_ms(failures)).0)
                .uuid(account);
        });
        tx.finish(script).await?;
        Ok(PinTry::Allowed(hash))
    }
}

/// Adds the removal of everything that an account asks for besides its password.
pub(crate) fn remove_all(script: &mut Script, account: Uuid) {
    remove_totp(script, account);
    script.one(&REMOVE_PIN, |args| {
        args.uuid(account);
    });
}

fn remove_totp(script: &mut Script, account: Uuid) {
    for statement in [&REMOVE_TOTP, &REMOVE_CODES] {
        script.one(statement, |args| {
            args.uuid(account);
        });
    }
}

async fn put_codes(mut tx: Tx<'_>, account: Uuid, codes: &[RecoveryHash]) -> Result<(), Failure> {
    let mut script = tx.script();
    script.one(&REMOVE_CODES, |args| {
        args.uuid(account);
    });
    script.rows(&ADD_CODES, codes, |args, code| {
        args.uuid(account).bytes(code);
    });
    tx.finish(script).await?;
    Ok(())
}
