//! SDK processes that are killed in the middle of anything, behind a link that breaks all the
//! time: every message is shown once, in order, and the region never sees a word of it.
//!
//! The test starts itself as children (the ignored tests `sender` and `reader`), which keep their
//! devices in files.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_client::{
    Client, Connector, Endpoint, Home as Homeserver, NewAccount, SqliteStore, StoreError, Trust,
    Update, Updates,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::home::Home;

const MESSAGES: usize = 2_000;
/// A word that is nowhere but in the messages.
const PHRASE: &str = "the grey mare waits at the ford";
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_cut_off_shows_every_message_once_in_order() {
    let home = Home::start().await;
    let dir = tempfile::tempdir().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let relay = relay(home.address(), Arc::clone(&cuts)).await;
    let mut rng = StdRng::seed_from_u64(4);
    let mut reader = Process::start("sdk_crash::reader", relay, dir.path());
    let shown = dir.path().join("shown");
    while std::fs::read_to_string(dir.path().join("reader.ready")).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut sender = Process::start("sdk_crash::sender", relay, dir.path());
    let (mut kills, mut next) = (0, 0);
    let all = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = lines(&shown).len();
            if now >= MESSAGES {
                break;
            }
            // Some progress between the kills, so that it is the middle of something.
            if kills < 24 && now >= next {
                next = now + rng.random_range(20..80);
                kills += 1;
                if rng.random_bool(0.5) { reader.restart() } else { sender.restart() }
            }
        }
    });
    all.await.unwrap_or_else(|_| panic!("{} of {MESSAGES} shown", lines(&shown).len()));
    // Whatever came twice would come now.
    reader.restart();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expected: Vec<String> = (0..MESSAGES).map(text).collect();
    assert_eq!(lines(&shown), expected);
    assert!(kills >= 5, "only {kills} kills");
    assert!(cuts.load(Ordering::Relaxed) >= 5, "only {cuts:?} cuts");
    println!("{kills} kills, {} broken connections", cuts.load(Ordering::Relaxed));
    hunt(&home);
}

/// Looks for the phrase in every file of the region, in the clear and in base64.
fn hunt(home: &Home) {
    let mut needles = vec![PHRASE.as_bytes().to_vec()];
    for skipped in 0..3 {
        let inner = STANDARD.encode(&PHRASE.as_bytes()[skipped..skipped + 27]);
        needles.push(inner.into_bytes());
    }
    let mut looked_at = 0;
    for file in std::fs::read_dir(home.dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        looked_at += bytes.len();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_slice());
            assert!(!found, "the region holds {:?}", String::from_utf8_lossy(needle));
        }
    }
    assert!(looked_at > MESSAGES * 200, "the messages are there: {looked_at} bytes");
}

fn text(number: usize) -> String {
    format!("{number}: {PHRASE}")
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A line whose end is missing is still being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// A child, killed when it is dropped: a test by its full name.
pub(crate) struct Process {
    what: &'static str,
    at: SocketAddr,
    dir: PathBuf,
    child: Child,
}

impl Process {
    pub(crate) fn start(what: &'static str, at: SocketAddr, dir: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", what, "--nocapture", "--quiet"])
            .env("SDK_AT", at.to_string())
            .env("SDK_DIR", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { what, at, dir: dir.to_owned(), child }
    }

    /// kill -9, and start again.
    pub(crate) fn restart(&mut self) {
        self.end();
        *self = Self::start(self.what, self.at, &self.dir.clone());
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A link that breaks whichever connection carries the byte on which it breaks next. It counts the
/// bytes of all connections, so that it breaks as often however soon their ends are killed.
pub(crate) async fn relay(target: SocketAddr, cuts: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let budget = Arc::new(Mutex::new(Budget { left: 0, rng: StdRng::seed_from_u64(5), cuts }));
    budget.lock().unwrap().renew();
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move {
                if let Ok(to) = TcpStream::connect(target).await {
                    pass(from, to, &budget).await;
                }
            });
        }
    });
    address
}

/// How many bytes pass before the link breaks again.
struct Budget {
    left: usize,
    rng: StdRng,
    cuts: Arc<AtomicUsize>,
}

impl Budget {
    fn renew(&mut self) {
        // Enough for what a device must say at first, which is large.
        self.left = self.rng.random_range(350_000..900_000);
    }

    /// How many of these bytes pass.
    fn spend(&mut self, bytes: usize) -> usize {
        if bytes < self.left {
            self.left -= bytes;
            return bytes;
        }
        let pass = self.left;
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.renew();
        pass
    }
}

/// Passes bytes both ways until the link breaks or a side ends.
async fn pass(mut from: TcpStream, mut to: TcpStream, budget: &Mutex<Budget>) {
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let (bytes, out) = tokio::select! {
            read = from.read(&mut up) => (read.map(|len| &up[..len]), &mut to),
            read = to.read(&mut down) => (read.map(|len| &down[..len]), &mut from),
        };
        let Ok(bytes) = bytes else { return };
        let len = budget.lock().unwrap().spend(bytes.len());
        let written = out.write_all(&bytes[..len]).await;
        if bytes.is_empty() || len < bytes.len() || written.is_err() {
            return;
        }
    }
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name).expect("started by the test")
}

/// The child's device, in its file.
pub(crate) async fn device(name: &str) -> (PathBuf, Client, Updates) {
    let dir = PathBuf::from(variable("SDK_DIR"));
    let at = variable("SDK_AT").into_string().unwrap();
    let endpoint = Endpoint::parse(&format!("http://{at}")).unwrap();
    let home = Homeserver::new(Connector::new(endpoint, Trust::System).unwrap()).unwrap();
    let account = NewAccount::new(name, "correct horse battery staple");
    loop {
        let store = match SqliteStore::open(dir.join(format!("{name}.db"))).await {
            Ok(store) => store,
            Err(StoreError::InUse) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            Err(err) => panic!("{err}"),
        };
        match home.open_or_register(store, &account).await {
            Ok((client, updates)) => return (dir, client, updates),
            Err(err) if err.is_transient() => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(err) => panic!("{err}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by killed_and_cut_off_shows_every_message_once_in_order"]
async fn reader() {
    write_down("reader").await;
}

/// Writes down what the device is shown, with the number of the update: that is what makes it once.
pub(crate) async fn write_down(name: &str) {
    let (dir, _client, mut updates) = device(name).await;
    std::fs::write(dir.join("reader.ready"), "").unwrap();
    let path = dir.join("shown");
    let mut options = OpenOptions::new();
    let mut shown = options.create(true).read(true).append(true).open(path).unwrap();
    let mut text = String::new();
    shown.read_to_string(&mut text).unwrap();
    if !text.ends_with('\n') {
        // Killed in the middle of a line.
        shown.set_len(text.rfind('\n').map_or(0, |end| end as u64 + 1)).unwrap();
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    }
    let last = text.lines().last().map(|line| line.split_once(' ').unwrap().0.parse().unwrap());
    let mut known: u64 = last.unwrap_or(0);
    while let Some(next) = updates.next_numbered().await {
        let Some(number) = next.number else { continue };
        if let (Update::Message(entry), true) = (&next.update, number > known) {
            let line = format!("{number} {}\n", entry.said.text().unwrap());
            shown.write_all(line.as_bytes()).unwrap();
            known = number;
        }
        if number % 16 == 0 {
            updates.taken(number).await.unwrap();
        }
    }
    panic!("the client stopped");
}

/// Sends what its own timeline lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by killed_and_cut_off_shows_every_message_once_in_order"]
async fn sender() {
    let (_, client, mut updates) = device("sender").await;
    let reader = loop {
        match client.find("reader").await {
            Ok(reader) => break reader,
            Err(err) if err.is_transient() => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(err) => panic!("{err}"),
        }
    };
    let sent = client.timeline(&reader, None, 10 * MESSAGES).await.unwrap();
    for (number, entry) in sent.iter().enumerate() {
        assert_eq!(entry.said.text().unwrap(), text(number), "its own timeline is in order");
    }
    for number in sent.len()..MESSAGES {
        client.send_text(&reader, &text(number)).await.unwrap();
    }
    while updates.next().await.is_some() {}
    panic!("the client stopped");
}
