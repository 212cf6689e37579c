//! Profiles against servers that lie, and what happens when something is lost.

use posthouse_protocol::{
    id::AccountId,
    rest::{Opaque, Profile as Sealed, PutProfile},
};
use serde_json::json;

use super::{
    acquainted,
    words::id_of,
    world::{Device, START},
};
use crate::{
    Profile, Update,
    machine::{Answer, Call, Wish},
    records::{KnownProfile, own},
    store::Table,
};

/// What an honest server has of a profile.
fn as_kept(of: &AccountId, put: &PutProfile) -> Sealed {
    Sealed {
        account_id: of.clone(),
        version: put.replaces + 1,
        name: put.name.clone(),
        about: put.about.clone(),
        avatar: put.avatar.clone(),
        updated_at: None,
    }
}

fn told(updates: &[Update]) -> usize {
    updates.iter().filter(|update| matches!(update, Update::Profile { .. })).count()
}

fn answer(sealed: &Sealed) -> Answer {
    Answer::Profile(Box::new(sealed.clone()))
}

fn only(call: &Call) -> Vec<Call> {
    vec![call.clone()]
}

/// Sets a name and has it published; what the server has then.
async fn publish(who: &mut Device, name: &str) -> Sealed {
    let outcome = who.wish(Wish::SetProfile(Box::new(Profile::named(name)))).await;
    let [call @ Call::PutProfile(version)] = outcome.calls.as_slice() else {
        panic!("{:?}", outcome.calls)
    };
    let put: PutProfile = who.kept(Table::Own, own::PROFILE).await;
    assert_eq!(put.replaces + 1, *version);
    let kept = as_kept(who.account(), &put);
    let outcome = who.answer(call, answer(&kept)).await;
    assert_eq!(told(&outcome.updates), 1);
    kept
}

async fn known(by: &Device, of: &AccountId) -> KnownProfile {
    by.kept(Table::Profiles, of.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_server_cannot_put_anything_into_a_profile() {
    let (mut ada, mut ben) = acquainted().await;
    let kept = publish(&mut ada, "Ada").await;
    let frames = ada.say(&mut ben, "with the key").await;
    assert_eq!(frames.len(), 2, "the key goes before the words");
    let outcome = ben.deliver_all(&ada, &frames).await;
    let call = Call::Profile(ada.account().clone());
    assert_eq!(outcome.calls, only(&call));

    let text = |text: &str| Opaque::new(text.to_owned());
    let changed = kept.name.as_ref().unwrap().as_str().replacen('A', "B", 1);
    for lie in [
        Sealed { name: text("Ada"), ..kept.clone() },
        Sealed { name: text(&changed), ..kept.clone() },
        Sealed { name: kept.about.as_ref().and_then(|one| text(one.as_str())), ..kept.clone() },
        Sealed { version: 2, ..kept.clone() },
        Sealed { name: None, ..kept.clone() },
        Sealed { account_id: ben.account().clone(), ..kept.clone() },
    ] {
        let outcome = ben.answer(&call, answer(&lie)).await;
        assert_eq!(told(&outcome.updates), 0, "{lie:?}");
        assert_eq!(known(&ben, ada.account()).await.version, 0);
    }
    let outcome = ben.answer(&call, answer(&kept)).await;
    assert_eq!(told(&outcome.updates), 1);
    assert_eq!(known(&ben, ada.account()).await.shown.name, "Ada");

    // A newer one holds, whatever the server shows of before.
    let newer = publish(&mut ada, "Countess").await;
    let outcome = ben.answer(&call, answer(&newer)).await;
    assert_eq!(told(&outcome.updates), 1);
    let outcome = ben.answer(&call, answer(&kept)).await;
    assert_eq!(told(&outcome.updates), 0);
    assert_eq!(known(&ben, ada.account()).await.shown.name, "Countess");
}

#[tokio::test]
async fn a_key_is_given_once_and_again_if_it_was_not_taken() {
    let (mut ada, mut ben) = acquainted().await;
    publish(&mut ada, "Ada").await;
    let frames = ada.say(&mut ben, "one").await;
    let (key, words) = (id_of(&frames[0]), id_of(&frames[1]));
    let refused =
        |id| json!({"type": "error", "code": "forbidden", "message": "", "ref": id}).to_string();
    ada.frame(&refused(key)).await;
    ada.frame(&refused(words)).await;
    let frames = ada.say(&mut ben, "two").await;
    assert_eq!(frames.len(), 2, "what was refused did not come");
    ada.taken(&frames).await;
    assert_eq!(ada.say(&mut ben, "three").await.len(), 1);
    // Another name is no other key; who is blocked is one.
    publish(&mut ada, "Countess").await;
    assert_eq!(ada.say(&mut ben, "four").await.len(), 1);
    let eve = Device::new("eve", 3);
    let outcome = ada.wish(Wish::Blocked(eve.account().clone())).await;
    assert_eq!(outcome.calls, [Call::PutProfile(3)]);
    // It is owed until it is in force.
    assert_eq!(ada.say(&mut ben, "five").await.len(), 1);
    let put: PutProfile = ada.kept(Table::Own, own::PROFILE).await;
    let kept = as_kept(ada.account(), &put);
    let outcome = ada.answer(&Call::PutProfile(3), answer(&kept)).await;
    let keys = outcome.frames.iter().filter(|one| one.contains("\"control\""));
    assert_eq!(keys.count(), 1, "{:?}", outcome.frames);
    ada.restart().await;
    let frames = ada.say(&mut ben, "six").await;
    assert_eq!(frames.iter().filter(|one| one.contains("\"control\"")).count(), 0, "{frames:?}");
}

#[tokio::test]
async fn a_profile_that_cannot_be_had_is_asked_for_later_and_not_for_ever() {
    let (mut ada, mut ben) = acquainted().await;
    let kept = publish(&mut ada, "Ada").await;
    let frames = ada.say(&mut ben, "with the key").await;
    let outcome = ben.deliver_all(&ada, &frames).await;
    let call = Call::Profile(ada.account().clone());
    assert_eq!(outcome.calls, only(&call));
    for pause in [60_000, 330_000, 1_800_000] {
        let refused = ben.answer(&call, Answer::Refused("region_unreachable".to_owned())).await;
        assert!(refused.calls.is_empty());
        ben.wait(pause - 1);
        assert!(ben.due().await.is_empty(), "{pause}");
        ben.wait(1);
        assert_eq!(ben.due().await, only(&call), "{pause}");
    }
    ben.answer(&call, Answer::Refused("region_unreachable".to_owned())).await;
    ben.wait(10_000_000);
    assert!(ben.due().await.is_empty(), "it is left until it is shown");
    // Shown again the same day, it is left alone; a day later it is asked for.
    let look = || Wish::LookAt(ada.account().clone());
    assert!(ben.wish(look()).await.calls.is_empty());
    ben.wait(24 * 60 * 60 * 1000);
    assert_eq!(ben.wish(look()).await.calls, only(&call));
    let outcome = ben.answer(&call, answer(&kept)).await;
    assert_eq!(told(&outcome.updates), 1);
    assert!(known(&ben, ada.account()).await.asked.0 > START);
}

#[tokio::test]
async fn another_own_device_that_was_quicker_is_not_overwritten_blindly() {
    let (mut ada, mut ben) = acquainted().await;
    publish(&mut ada, "Ada").await;
    // The answer to the next one is lost, and the homeserver has it: that is no conflict.
    let outcome = ada.wish(Wish::SetProfile(Box::new(Profile::named("Countess")))).await;
    assert_eq!(outcome.calls, [Call::PutProfile(2)]);
    let put: PutProfile = ada.kept(Table::Own, own::PROFILE).await;
    let conflict = Answer::Refused("conflict".to_owned());
    let outcome = ada.answer(&Call::PutProfile(2), conflict).await;
    let call = Call::Profile(ada.account().clone());
    assert_eq!(outcome.calls, only(&call));
    let mine = as_kept(ada.account(), &put);
    let outcome = ada.answer(&call, answer(&mine)).await;
    assert!(outcome.calls.is_empty(), "{:?}", outcome.calls);
    assert_eq!(told(&outcome.updates), 1);
    // A real conflict: what the person set last is put on top.
    ada.wish(Wish::SetProfile(Box::new(Profile::named("Lady")))).await;
    let theirs = Sealed { version: 3, ..mine };
    ada.answer(&Call::PutProfile(3), Answer::Refused("conflict".to_owned())).await;
    let outcome = ada.answer(&call, answer(&theirs)).await;
    assert_eq!(outcome.calls, [Call::PutProfile(4)]);
    assert!(!ada.say(&mut ben, "still there").await.is_empty());
}

#[tokio::test]
async fn a_homeserver_that_went_back_to_a_backup_is_given_the_profile_again() {
    let (mut ada, mut ben) = acquainted().await;
    let first = publish(&mut ada, "Ada").await;
    for name in ["Countess", "Lady", "Ada Lovelace"] {
        publish(&mut ada, name).await;
    }
    let call = Call::Profile(ada.account().clone());
    let mut kept = first;
    let mut outcome = ada.answer(&call, answer(&kept)).await;
    // Until the version is one that others do not take for old.
    for version in 2..=4 {
        assert_eq!(outcome.calls, [Call::PutProfile(version)]);
        assert_eq!(told(&outcome.updates), 0);
        let put: PutProfile = ada.kept(Table::Own, own::PROFILE).await;
        kept = as_kept(ada.account(), &put);
        outcome = ada.answer(&Call::PutProfile(version), answer(&kept)).await;
    }
    assert!(outcome.calls.is_empty());
    assert_eq!(told(&outcome.updates), 1);
    let frames = ada.say(&mut ben, "with the key").await;
    assert_eq!(ben.deliver_all(&ada, &frames).await.calls, only(&call));
    ben.answer(&call, answer(&kept)).await;
    assert_eq!(known(&ben, ada.account()).await.shown.name, "Ada Lovelace");
}
