//! The stores, and the contract of all of them.

#[cfg(test)]
#[path = "stores/contract.rs"]
mod contract;

#[cfg(test)]
#[cfg(not(target_family = "wasm"))]
#[path = "stores/native.rs"]
mod native;

#[cfg(test)]
#[cfg(target_family = "wasm")]
#[path = "stores/browser.rs"]
mod browser;
