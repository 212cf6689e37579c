//! Password hashing: Argon2id (RFC 9106), off the async threads and bounded.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::Secret,
};
use posthouse_storage::accounts::PasswordHash;
use tokio::sync::Semaphore;

/// Memory of one hash, in KiB; with [`PASSES`] and [`LANES`] OWASP's recommended minimum.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Most callers that wait for their turn; more are refused, so that a flood of log-ins costs
/// neither memory nor the patience of everyone else.
const MAX_WAITING: usize = 64;

/// Hashes and checks passwords. At most `workers` hashes are computed at a time.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// For hashing when there is no such user, so that the answer takes as long.
    decoy: [u8; 16],
}

impl Passwords {
    /// Hashing on at most `workers` threads at a time. `decoy` is a salt for users that do not
    /// exist.
    pub fn new(workers: usize, decoy: [u8; 16]) -> Self {
        Self {
            running: Arc::new(Semaphore::new(workers.max(1))),
            admitted: Arc::new(Semaphore::new(workers.max(1) + MAX_WAITING)),
            decoy,
        }
    }

    /// The hash of `password`, as a PHC string.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait.
    pub async fn hash(&self, password: &Secret, salt: [u8; 16]) -> Result<String, Rejection> {
        let password = password.clone();
        self.run(move || hash(&password.0, salt)).await?
    }

    /// Whether `password` is the one of `hashed`. Without a hash the answer is no, after the same
    /// time.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if too many wait.
    pub async fn check(
        &self,
        password: &Secret,
        hashed: Option<&PasswordHash>,
    ) -> Result<bool, Rejection> {
        let password = password.clone();
        let hashed = hashed.cloned();
        let decoy = self.decoy;
        self.run(move || {
            if let Some(hashed) = hashed {
                return verify(&password.0, &hashed.0);
            }
            // As much work as a check. A decoy that is made beforehand would keep the memory of a
            // hash, which is as much as the rest of a fresh server.
            drop(core::hint::black_box(hash(&password.0, decoy)));
            false
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let busy = || {
            Rejection::new(Code::Overloaded, "too many log-ins at a time; try again").retry_after(2)
        };
        let _admitted = self.admitted.try_acquire().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let _running = running;
            work()
        });
        done.await.map_err(|_| Rejection::new(Code::Internal, "hashing a password failed"))
    }
}

fn hasher() -> Result<Argon2<'static>, Rejection> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|_| Rejection::new(Code::Internal, "the Argon2 parameters are not valid"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str, salt: [u8; 16]) -> Result<String, Rejection> {
    let hashed = hasher()?.hash_password_with_salt(password.as_bytes(), &salt);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|_| Rejection::new(Code::Internal, "hashing a password failed"))
}

fn verify(password: &str, hashed: &str) -> bool {
    // The parameters come from the hash itself, so that old hashes stay valid when they change.
    phc::PasswordHash::new(hashed)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.into())
    }

    #[tokio::test]
    async fn checks_what_it_hashed() {
        let passwords = Passwords::new(2, [1; 16]);
        let hashed = passwords.hash(&secret("correct horse"), [2; 16]).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        let hashed = PasswordHash(hashed);
        assert!(passwords.check(&secret("correct horse"), Some(&hashed)).await.unwrap());
        assert!(!passwords.check(&secret("battery staple"), Some(&hashed)).await.unwrap());
        assert!(!passwords.check(&secret("correct horse"), None).await.unwrap());
        assert!(
            !passwords.check(&secret("x"), Some(&PasswordHash("damaged".into()))).await.unwrap()
        );
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_not_queued() {
        let passwords = Passwords::new(1, [1; 16]);
        let all: Vec<_> = (0..MAX_WAITING + 10)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.hash(&secret("12345678"), [0; 16]).await })
            })
            .collect();
        let mut refused = 0;
        for one in all {
            match one.await.unwrap() {
                Ok(_) => {}
                Err(rejection) => {
                    assert_eq!(rejection.code, Code::Overloaded);
                    refused += 1;
                }
            }
        }
        assert!(refused >= 9, "{refused}");
    }
}
