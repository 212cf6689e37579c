//! Names of devices, as sessions know them.

use core::fmt;

use super::wire::message::ADDRESSES_LEN;

/// The longest account name, in bytes.
pub const MAX_NAME_LEN: usize = 320;
/// Length of a service id: a kind byte and a UUID.
const SERVICE_ID_LEN: usize = 17;

/// An account and one of its devices.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    name: String,
    device: DeviceId,
}

impl Address {
    /// The address of `device` of the account `name`, which in Posthouse is the full
    /// `uuid@domain`.
    ///
    /// # Errors
    /// [`AddressError::Name`] if the name is empty or longer than [`MAX_NAME_LEN`] bytes.
    pub fn new(name: &str, device: DeviceId) -> Result<Self, AddressError> {
        let fits = (1..=MAX_NAME_LEN).contains(&name.len());
        if fits { Ok(Self { name: name.to_owned(), device }) } else { Err(AddressError::Name) }
    }

    /// The account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The 36 bytes that bind sender and receiver to a message: for each the service id and the
    /// device. Only names that are service ids (a bare UUID, or one after `PNI:`) have one, so
    /// full names with a domain are never bound this way; the MAC covers both identities anyway.
    pub(crate) fn bind(sender: &Self, receiver: &Self) -> Option<[u8; ADDRESSES_LEN]> {
        let (from, to) = (sender.service_id()?, receiver.service_id()?);
        let bytes = from.into_iter().chain([sender.device.0]).chain(to).chain([receiver.device.0]);
        let mut bound = [0; ADDRESSES_LEN];
        bound.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        Some(bound)
    }

    fn service_id(&self) -> Option<[u8; SERVICE_ID_LEN]> {
        let (kind, uuid) = match self.name.strip_prefix("PNI:") {
            Some(uuid) => (1, uuid),
            None => (0, self.name.as_str()),
        };
        let mut id = [kind; SERVICE_ID_LEN];
        id.iter_mut().skip(1).zip(uuid_bytes(uuid)?).for_each(|(slot, byte)| *slot = byte);
        Some(id)
    }
}

/// The 16 bytes of a hyphenated UUID.
fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
        return None;
    }
    let hex = groups.concat();
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes)
}

/// A device's number within its account, 1 to 127.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u8);

impl DeviceId {
    /// Parses a device's number.
    ///
    /// # Errors
    /// [`AddressError::Device`] outside 1..=127.
    pub fn new(number: u64) -> Result<Self, AddressError> {
        u8::try_from(number)
            .ok()
            .filter(|number| (1..=127).contains(number))
            .map(Self)
            .ok_or(AddressError::Device)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a name or number is none of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Device numbers are 1 to 127.
    #[error("a device number lies outside 1 to 127")]
    Device,
    /// Names have 1 to 320 bytes.
    #[error("an account name is empty or too long")]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_service_ids_only() {
        let device = DeviceId::new(2).unwrap();
        let aci = Address::new("11111111-1111-4111-8111-111111111111", device).unwrap();
        let pni = Address::new("PNI:22222222-2222-4222-8222-222222222222", device).unwrap();
        let bound = Address::bind(&aci, &pni).unwrap();
        assert_eq!(bound[..3], [0, 0x11, 0x11]);
        assert_eq!(bound[17..20], [2, 1, 0x22]);
        assert_eq!(bound[35], 2);
        let full = Address::new("11111111-1111-4111-8111-111111111111@south.test", device).unwrap();
        assert_eq!(Address::bind(&aci, &full), None);
    }

    #[test]
    fn refuses_numbers_and_names_out_of_bounds() {
        for number in [0, 128, 257, u64::MAX] {
            assert_eq!(DeviceId::new(number), Err(AddressError::Device));
        }
        let device = DeviceId::new(127).unwrap();
        assert_eq!(Address::new("", device), Err(AddressError::Name));
        assert_eq!(Address::new(&"x".repeat(321), device), Err(AddressError::Name));
    }
}
