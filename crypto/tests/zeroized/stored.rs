//! Where the secrets stand in the stored form of a session: deterministic CBOR, read without
//! copying.

/// A CBOR item of those that the stored form is made of.
pub(crate) enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Array(Vec<Item<'a>>),
    /// Null, false or true.
    Simple,
}

impl<'a> Item<'a> {
    pub(crate) fn read(mut bytes: &'a [u8]) -> Self {
        let item = Self::next(&mut bytes);
        assert!(bytes.is_empty(), "one item");
        item
    }

    fn next(rest: &mut &'a [u8]) -> Self {
        let first = rest[0];
        *rest = &rest[1..];
        if first >> 5 == 7 {
            return Self::Simple;
        }
        let number = match first & 31 {
            small @ 0..24 => u64::from(small),
            size => {
                let (head, after) = rest.split_at(1 << (size - 24));
                *rest = after;
                head.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
        };
        match first >> 5 {
            0 => Self::Number(number),
            2 => {
                let (bytes, after) = rest.split_at(usize::try_from(number).unwrap());
                *rest = after;
                Self::Bytes(bytes)
            }
            4 => Self::Array((0..number).map(|_| Self::next(rest)).collect()),
            other => panic!("no item of kind {other} is in a stored session"),
        }
    }

    pub(crate) fn at(&self, place: usize) -> &Self {
        &self.items()[place]
    }

    pub(crate) fn items(&self) -> &[Self] {
        let Self::Array(items) = self else { panic!("an array is expected") };
        items
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("bytes are expected") };
        bytes
    }

    pub(crate) fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("a number is expected") };
        *number
    }

    fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }
}

/// All sessions of a stored form, the running one first.
pub(crate) fn states<'a, 'b>(session: &'b Item<'a>) -> impl Iterator<Item = &'b Item<'a>> {
    let running = Some(session.at(1)).filter(|state| state.is_array());
    running.into_iter().chain(session.at(2).items())
}

/// The post-quantum exchange of a session, its epoch, and the number of its state.
pub(crate) fn exchange<'a, 'b>(state: &'b Item<'a>) -> (&'b Item<'a>, u64, u64) {
    let braid = state.at(0).at(8).at(0);
    (braid.at(2), braid.at(0).number(), braid.at(2).at(0).number())
}

/// Gives each secret of a session: root, ratchet key, chain keys, skipped seeds, and the same of
/// the post-quantum ratchet with the seeds of its running exchange.
pub(crate) fn secrets<'a>(state: &Item<'a>, mut each: impl FnMut(&'a [u8])) {
    let ratchet = state.at(0);
    each(ratchet.at(3).bytes());
    each(ratchet.at(4).bytes());
    each(ratchet.at(5).at(0).bytes());
    for chain in ratchet.at(7).items() {
        each(chain.at(1).at(0).bytes());
        chain.at(2).items().iter().for_each(|skipped| each(skipped.at(1).bytes()));
    }
    let (authenticator, chain) = (ratchet.at(8).at(0).at(1), ratchet.at(8).at(1));
    each(authenticator.at(0).bytes());
    each(authenticator.at(1).bytes());
    match exchange(state) {
        (exchange, _, 1..=4) => each(exchange.at(1).bytes()),
        (exchange, _, 7..=9) => each(exchange.at(1).at(1).bytes()),
        _ => {}
    }
    each(chain.at(1).bytes());
    for epoch in chain.at(2).items() {
        if epoch.at(1).is_array() {
            each(epoch.at(1).at(0).bytes());
        }
        each(epoch.at(2).at(0).bytes());
        epoch.at(3).items().iter().for_each(|skipped| each(skipped.at(1).bytes()));
    }
}
