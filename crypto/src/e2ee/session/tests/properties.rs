//! Any loss, reordering and duplication between two of our own parties.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Send { from_a: bool },
    Deliver { to_a: bool, at: usize },
    Lose { to_a: bool, at: usize },
    Double { to_a: bool, at: usize },
    Store { a: bool },
    NewSession { from_a: bool },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => any::<bool>().prop_map(|from_a| Act::Send { from_a }),
        8 => (any::<bool>(), 0..9_usize).prop_map(|(to_a, at)| Act::Deliver { to_a, at }),
        2 => (any::<bool>(), 0..9_usize).prop_map(|(to_a, at)| Act::Lose { to_a, at }),
        2 => (any::<bool>(), 0..9_usize).prop_map(|(to_a, at)| Act::Double { to_a, at }),
        1 => any::<bool>().prop_map(|a| Act::Store { a }),
        1 => any::<bool>().prop_map(|from_a| Act::NewSession { from_a }),
    ]
}

/// Two parties and what is on its way to each: `[a, b]`.
struct World {
    parties: [Party; 2],
    on_the_way: [Vec<(String, Ciphertext)>; 2],
    sent: u32,
}

impl World {
    fn new(profile: Profile) -> Self {
        let (a, b) = conversation(profile);
        Self { parties: [a, b], on_the_way: [Vec::new(), Vec::new()], sent: 0 }
    }

    fn step(&mut self, act: Act, profile: Profile) -> Result<(), TestCaseError> {
        let [a, b] = &mut self.parties;
        match act {
            Act::Send { from_a } => {
                let (from, to, way) = if from_a { (a, b, 1) } else { (b, a, 0) };
                self.sent += 1;
                let text = format!("message {}", self.sent);
                let ciphertext = send(from, to, &text);
                self.on_the_way[way].push((text, ciphertext));
            }
            Act::Deliver { to_a, at } | Act::Double { to_a, at } => {
                let (to, from, way) = if to_a { (a, b, 0) } else { (b, a, 1) };
                let queue = &mut self.on_the_way[way];
                if queue.is_empty() {
                    return Ok(());
                }
                let (text, ciphertext) = queue.remove(at % queue.len());
                // Late by more than five turns is lost by design; nothing may be garbled.
                match to.decrypt(&from.local.address, &ciphertext) {
                    Ok(plaintext) => prop_assert_eq!(plaintext.as_slice(), text.as_bytes()),
                    Err(error) => prop_assert!(at > 0 || queue.len() < 9, "{error}"),
                }
                if matches!(act, Act::Double { .. }) {
                    prop_assert!(to.decrypt(&from.local.address, &ciphertext).is_err());
                }
            }
            Act::Lose { to_a, at } => {
                let queue = &mut self.on_the_way[usize::from(!to_a)];
                if !queue.is_empty() {
                    queue.remove(at % queue.len());
                }
            }
            Act::Store { a: first } => {
                let party = if first { a } else { b };
                party.session = Session::from_bytes(&party.session.to_bytes()).unwrap();
            }
            Act::NewSession { from_a } => {
                let (from, to) = if from_a { (a, b) } else { (b, a) };
                to.local.accepts = from.local.accepts.with_pqxdh_without_spqr().with_x3dh();
                let bundle = to.bundle(false);
                from.initiate(to, &bundle, profile);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_is_garbled_or_read_twice_and_talk_always_resumes(
        acts in proptest::collection::vec(act(), 1..120),
        number in 0_u64..3,
    ) {
        let profile = Profile::from_number(number).unwrap();
        let mut world = World::new(profile);
        for act in acts {
            world.step(act, profile)?;
        }
        // Whatever happened, the next message in order is read, in both directions.
        let [a, b] = &mut world.parties;
        for n in 0..3 {
            let there = send(a, b, &format!("there {n}"));
            prop_assert_eq!(receive(b, a, &there), format!("there {n}"));
            let back = send(b, a, &format!("back {n}"));
            prop_assert_eq!(receive(a, b, &back), format!("back {n}"));
        }
    }

    #[test]
    fn in_order_delivery_reads_everything(sides in proptest::collection::vec(any::<bool>(), 1..200)) {
        let (mut a, mut b) = conversation(Profile::default());
        for (n, from_a) in sides.into_iter().enumerate() {
            let (from, to) = if from_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let sent = send(from, to, &n.to_string());
            prop_assert_eq!(receive(to, from, &sent), n.to_string());
        }
    }
}
