//! Backups in one file, and what can be done without one.

use std::path::{Path, PathBuf};

use posthouse_client::{
    BackupError, ClientError, Home as Homeserver, KeyTrust, MemoryStore, NewAccount, Update,
};
use posthouse_protocol::{rest::groups::Standing, status::Status};

use super::{home::Home, sdk::Sdk};

const PASSPHRASE: &str = "mare ford oats bridle lantern hay";

fn ada_again() -> NewAccount {
    NewAccount::new("ada", "correct horse battery staple")
}

/// Restores Ada's backup in a new store.
async fn restore(home: &Home, path: &Path, passphrase: &str) -> Result<Sdk, ClientError> {
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let backup = (path, passphrase);
    let (client, updates) =
        homeserver.restore(MemoryStore::new(), &ada_again(), None, backup).await?;
    Ok(Sdk { client, updates })
}

/// Ada and Ben have talked, also in a group; Ada has a backup in this file.
async fn with_backup(home: &Home, dir: &Path) -> (Sdk, Sdk, PathBuf) {
    let (mut ada, mut ben) = (Sdk::register(home, "ada").await, Sdk::register(home, "ben").await);
    let to_ben = ben.account().clone();
    for number in 0..100 {
        ada.client.send_text(&to_ben, &format!("{number} {}", "x".repeat(2_000))).await.unwrap();
    }
    let last = ada.client.send_text(&to_ben, "the last").await.unwrap();
    ada.status(last, Status::Delivered).await;
    ben.client.react(ada.account(), last, "👍").await.unwrap();
    ada.wait("the reaction", |update| matches!(update, Update::Changed { .. }).then_some(())).await;
    ada.client.mark_verified(&to_ben).await.unwrap();
    let group = ada.client.create_group("Hikers", std::slice::from_ref(&to_ben)).await.unwrap();
    ben.join(&group).await;
    ada.in_group(&group, Some(Standing::Owner), 3).await;
    let path = dir.join("ada.backup");
    assert_eq!(ada.client.back_up(&path, PASSPHRASE).await.unwrap(), 101);
    (ada, ben, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_makes_a_new_device_of_a_lost_one() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (ada, mut ben, path) = with_backup(&home, dir.path()).await;
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let before = ada.client.timeline(&to_ben, None, 1_000).await.unwrap();
    let group = ada.client.groups().await.unwrap()[0].id.clone();
    // The device is lost: it never comes back, and the homeserver does not know.
    ada.updates.close(ada.client).await;

    let mut again = restore(&home, &path, PASSPHRASE).await.unwrap();
    assert_eq!((again.account(), again.client.device()), (&to_ada, 2));
    assert_eq!(again.client.timeline(&to_ben, None, 1_000).await.unwrap(), before);
    assert_eq!(before.last().unwrap().reactions.len(), 1);
    assert_eq!(again.client.key_trust(&to_ben).await.unwrap(), KeyTrust::Verified);
    again.sees_title(&group, "Hikers").await;

    // Ben sees no changed key, and both go on.
    let id = ben.client.send_text(&to_ada, "are you back?").await.unwrap();
    assert_eq!(again.message().await.id, id);
    let id = again.client.send_text(&to_ben, "I am").await.unwrap();
    assert_eq!(ben.message().await.id, id);
    assert_eq!(ben.client.key_trust(&to_ada).await.unwrap(), KeyTrust::Unverified);
    let id = again.client.send_to_group(&group, "who walks?").await.unwrap();
    while ben.message().await.id != id {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_backup_is_told_and_leaves_no_device_behind() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (ada, _ben, path) = with_backup(&home, dir.path()).await;
    let file = std::fs::read(&path).unwrap();
    let changed = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = file.clone();
    flipped[file.len() / 2] ^= 1;
    let cases = [
        (path.clone(), "mare ford oats", BackupError::Passphrase),
        (changed("short", &file[..file.len() - 9]), PASSPHRASE, BackupError::Damaged),
        (changed("cut", &file[..50_000]), PASSPHRASE, BackupError::Damaged),
        (changed("flipped", &flipped), PASSPHRASE, BackupError::Damaged),
        (changed("longer", &[&file[..], b"x"].concat()), PASSPHRASE, BackupError::Damaged),
        (changed("other", b"a letter"), PASSPHRASE, BackupError::NotABackup),
    ];
    for (path, passphrase, wanted) in cases {
        let refused = restore(&home, &path, passphrase).await.err();
        assert!(
            matches!(&refused, Some(ClientError::Backup(err)) if *err == wanted),
            "{refused:?}"
        );
    }
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let other = NewAccount::new("ben", "correct horse battery staple");
    let refused =
        homeserver.restore(MemoryStore::new(), &other, None, (&path, PASSPHRASE)).await.err();
    assert!(matches!(refused, Some(ClientError::OtherAccount)), "{refused:?}");
    assert_eq!(ada.client.devices().await.unwrap().len(), 1);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(
        std::fs::read_dir(dir.path())
            .unwrap()
            .all(|one| { !one.unwrap().file_name().to_string_lossy().ends_with(".part") })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backup_the_account_goes_on_under_another_key() {
    let home = Home::start().await;
    let (mut ada, mut ben) = (Sdk::register(&home, "ada").await, Sdk::register(&home, "ben").await);
    let (to_ada, to_ben) = (ada.account().clone(), ben.account().clone());
    let id = ada.client.send_text(&to_ben, "before").await.unwrap();
    assert_eq!(ben.message().await.id, id);
    let id = ben.client.send_text(&to_ada, "indeed").await.unwrap();
    assert_eq!(ada.message().await.id, id);
    ben.client.mark_verified(&to_ada).await.unwrap();
    let homeserver = Homeserver::new(home.connector()).unwrap();
    let anew = homeserver.begin_anew(MemoryStore::new(), &ada_again(), None).await.unwrap();
    let mut again = Sdk { client: anew.0, updates: anew.1 };
    assert_eq!(*again.account(), to_ada);
    ada.wait("the end", |update| matches!(update, Update::SessionEnded).then_some(())).await;

    // Ben is told, and what he writes waits until he has agreed.
    ben.wait("the changed key", |update| match update {
        Update::KeyChanged { user, was_verified: true } if *user == to_ada => Some(()),
        _ => None,
    })
    .await;
    let waiting = ben.client.send_text(&to_ada, "is it you?").await.unwrap();
    assert_eq!(ben.client.key_trust(&to_ada).await.unwrap(), KeyTrust::Changed);
    let id = again.client.send_text(&to_ben, "I lost my phone").await.unwrap();
    again.status(id, Status::Delivered).await;
    let unsent = ben.client.message(&to_ben, waiting).await.unwrap().unwrap();
    assert_eq!(unsent.status, None, "nothing was sent to a key that nobody agreed to");
    assert_eq!(ben.client.timeline(&to_ada, None, 9).await.unwrap().len(), 3, "nor believed");
    ben.client.accept_key(&to_ada).await.unwrap();
    assert_eq!(again.message().await.id, waiting);
    assert_eq!(ben.message().await.id, id);
}
