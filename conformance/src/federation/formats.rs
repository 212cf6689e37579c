//! What envelopes, receipts, queries and refusals look like (federation-envelopes.cddl).

pub mod envelope;
pub mod event;
pub mod receipt;
pub mod records;

mod answers;
mod groups;
pub use answers::{Answer, Echo, Query, Refusal};
pub use groups::{GroupAct, GroupAnswer, GroupQuery};

use super::{
    cbor::{Malformed, Reading, Value},
    lanes::{Incarnation, Position, Positions},
};

/// Writes an incarnation.
pub fn write_incarnation(incarnation: Incarnation) -> Value {
    Value::Array(vec![Value::Uint(incarnation.number), Value::bytes(incarnation.random)])
}

/// Reads an incarnation.
///
/// # Errors
/// [`Malformed`].
pub fn read_incarnation(value: Value) -> Reading<Incarnation> {
    let [number, random] = value.tuple()?;
    let incarnation = Incarnation { number: number.uint()?, random: random.fixed()? };
    if incarnation.number == 0 { Err(Malformed("incarnation 0")) } else { Ok(incarnation) }
}

/// Writes the positions of the four lanes.
pub fn write_positions(positions: &Positions) -> Value {
    let one = |at: &Position| Value::Array(vec![Value::Uint(at.through), Value::bytes(at.hash)]);
    Value::Array(positions.iter().map(one).collect())
}

/// Reads the positions of the four lanes.
///
/// # Errors
/// [`Malformed`].
pub fn read_positions(value: Value) -> Reading<Positions> {
    let positions = value.each(|one| {
        let [through, hash] = one.tuple()?;
        Ok(Position { through: through.uint()?, hash: hash.fixed()? })
    })?;
    positions.try_into().map_err(|_| Malformed("not four positions"))
}
