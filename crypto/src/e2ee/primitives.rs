//! The building blocks, as the Signal protocol uses them: X25519 keys, XEdDSA signatures,
//! HKDF and HMAC with SHA-256, AES-256-CBC, and Kyber-1024.

pub mod curve;
pub mod kem;
pub mod xeddsa;

pub(crate) mod cbc;
pub(crate) mod kdf;
