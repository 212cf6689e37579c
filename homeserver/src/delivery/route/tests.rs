//! `route` loses nobody and doubles nobody.

use posthouse_client_api::ports::Caller;
use posthouse_protocol::{
    frame::Submission,
    id::{AccountId, DeviceId, DeviceNumber, SessionId},
    time::Timestamp,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn account(n: u128, server: &str) -> AccountId {
    AccountId { uuid: Uuid::from_u128(n), server: ServerName::parse(server).unwrap() }
}

fn admitted(sender: &AccountId, recipient: &AccountId, own_copy: bool) -> Admitted {
    let json = format!(
        r#"{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","to":"{recipient}",
            "content":{{"type":"text","body":"x"}}}}"#
    );
    let submission = Submission::parse(&json, &sender.server).unwrap();
    let sender = Caller {
        account: sender.clone(),
        device: DeviceId(Uuid::from_u128(9)),
        number: DeviceNumber::FIRST,
        session: SessionId(Uuid::from_u128(9)),
    };
    Admitted::for_test(submission, sender, recipient.clone(), (own_copy, Timestamp(5)))
}

proptest! {
    #[test]
    fn another_region_gets_exactly_one_intent(from in 1_u128..4, to in 1_u128..4, own_copy: bool) {
        let own = ServerName::parse("eu.example").unwrap();
        let (from, to) = (account(from, "eu.example"), account(to, "us.example"));
        let plan = route(&admitted(&from, &to, own_copy), &own, BodyId([1; 16]));
        let copy: Vec<Uuid> = own_copy.then_some(from.uuid).into_iter().collect();
        prop_assert_eq!(&plan.accept().recipients, &copy);
        let there = Destination { server: to.server.clone(), recipients: vec![to.uuid] };
        prop_assert_eq!(&plan.accept().destinations, &[there]);
    }

    #[test]
    fn everyone_gets_exactly_one_pointer(from in 1_u128..4, to in 1_u128..4, own_copy: bool) {
        let own = ServerName::parse("eu.example").unwrap();
        let (from, to) = (account(from, "eu.example"), account(to, "eu.example"));
        let plan = route(&admitted(&from, &to, own_copy), &own, BodyId([1; 16]));
        let mut expected = vec![to.uuid];
        if own_copy && from != to {
            expected.push(from.uuid);
        }
        prop_assert_eq!(&plan.accept().recipients, &expected);
        prop_assert!(plan.accept().destinations.is_empty());
        // Both directions are one conversation, and the two sides differ unless they are one.
        let back = route(&admitted(&to, &from, own_copy), &own, BodyId([1; 16]));
        prop_assert_eq!(plan.accept().conversation, back.accept().conversation);
        prop_assert_eq!(plan.accept().side | back.accept().side, 3);
        prop_assert_eq!(plan.accept().side == back.accept().side, from == to);
    }
}
