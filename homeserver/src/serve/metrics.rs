//! `/metrics`: what the server counts, in the text format of Prometheus (version 0.0.4).

use core::fmt::{Display, Write};
use std::sync::{Arc, atomic::Ordering::Relaxed};

use posthouse_client_api::Edge;
use posthouse_crypto::sign::VerifyingKey;
use posthouse_protocol::id::ServerName;
use posthouse_storage_sql::SqlStore;
use tokio_util::sync::CancellationToken;

use super::{federation::Running, readiness::Readiness};
use crate::{operator::Operator, region::Region, tls::CurrentCertificate};

/// Where the numbers are.
pub(super) struct Facts {
    pub(super) edge: Edge,
    pub(super) store: SqlStore,
    pub(super) readiness: Arc<Readiness>,
    pub(super) region: Arc<Region>,
    pub(super) certificate: Option<Arc<CurrentCertificate>>,
    /// The federation, if the region has one.
    pub(super) abroad: Option<Arc<Running>>,
    pub(super) domain: ServerName,
    /// Carries out what the operator orders.
    pub(super) operator: Operator,
    /// Shows that an order is the operator's.
    pub(super) operator_key: VerifyingKey,
    /// Cancelled once the server stops.
    pub(super) draining: CancellationToken,
}

/// All metrics.
pub(super) fn exposition(facts: &Facts) -> String {
    let mut page = Page::default();
    page.head("posthouse_info", "gauge", "The server's version and region.");
    let version = env!("CARGO_PKG_VERSION");
    page.sample(
        "posthouse_info",
        &format!("{{version=\"{version}\",domain=\"{}\"}}", facts.domain),
        1,
    );
    clients(&mut page, facts);
    messages(&mut page, facts);
    store(&mut page, facts);
    if let Some(abroad) = &facts.abroad {
        federation(&mut page, abroad);
    }
    if let Some(certificate) = &facts.certificate {
        page.gauge(
            "posthouse_certificate_expires_timestamp_seconds",
            "When the client listener's certificate expires.",
            certificate.expires().0 / 1000,
        );
    }
    page.0
}

fn clients(page: &mut Page, facts: &Facts) {
    let c = facts.edge.counters();
    let open = c.open_connections.get();
    page.gauge("posthouse_client_connections", "Connections of clients that are open.", open);
    page.gauge("posthouse_client_sockets", "WebSockets that are open.", c.open_sockets.get());
    let counters = [
        ("connections", "Connections of clients that were accepted.", &c.connections),
        (
            "refused_connections",
            "Connections that were closed at once, since a limit was reached.",
            &c.refused_connections,
        ),
        ("failed_handshakes", "TLS handshakes that failed or took too long.", &c.failed_handshakes),
        ("accept_errors", "Failures of accepting a connection.", &c.accept_errors),
        ("requests", "Requests that were answered.", &c.requests),
        ("sockets", "WebSockets that were opened.", &c.sockets),
        ("slow_sockets", "WebSockets closed since the device did not read.", &c.slow_sockets),
        ("dead_sockets", "WebSockets dropped since no ping was answered.", &c.dead_sockets),
        ("frames_received", "Frames from devices.", &c.frames_in),
        ("frames_sent", "Frames to devices.", &c.frames_out),
        ("socket_writes", "Writes to WebSockets.", &c.writes),
    ];
    for (name, help, count) in counters {
        page.counter(&format!("posthouse_client_{name}_total"), help, count.get());
    }
    let name = "posthouse_client_errors_total";
    page.head(name, "counter", "Refusals that clients were told, by code.");
    for (code, count) in c.errors() {
        page.sample(name, &format!("{{code=\"{}\"}}", code.as_str()), count);
    }
}

fn messages(page: &mut Page, facts: &Facts) {
    let c = facts.region.counters();
    let counters = [
        ("posthouse_messages_accepted_total", "Messages accepted and durable.", &c.accepted),
        (
            "posthouse_messages_repeated_total",
            "Messages that had been accepted before.",
            &c.repeated,
        ),
        ("posthouse_messages_refused_total", "Messages the ledger refused.", &c.refused),
        ("posthouse_messages_failed_total", "Messages lost to a failed commit; told.", &c.failed),
        ("posthouse_message_commits_total", "Commits of messages.", &c.commits),
    ];
    for (name, help, count) in counters {
        page.counter(name, help, count.load(Relaxed));
    }
}

fn store(page: &mut Page, facts: &Facts) {
    let c = facts.store.counters().read();
    let counters = [
        ("statements", "SQL statements that were run.", c.statements),
        ("round_trips", "Times that the database was asked.", c.round_trips),
        ("transactions", "Transactions that were committed.", c.transactions),
        ("commits", "Commits of submissions.", c.commits),
        ("submissions", "Submissions in them.", c.submissions),
        ("retries", "Transactions begun again after a conflict.", c.retries),
    ];
    for (name, help, count) in counters {
        page.counter(&format!("posthouse_store_{name}_total"), help, count);
    }
    page.gauge(
        "posthouse_store_largest_commit",
        "Submissions in the largest commit since the start.",
        c.largest_commit,
    );
    page.gauge(
        "posthouse_store_waiting_entries",
        "Entries of inboxes that are durable and get their rows later.",
        facts.store.waiting_entries() as u64,
    );
    page.gauge(
        "posthouse_store_writable",
        "1 unless the last transaction that had something to write could not.",
        u64::from(!facts.store.counters().writing_fails()),
    );
}

fn federation(page: &mut Page, abroad: &Running) {
    let observer = abroad.observer();
    page.gauge(
        "posthouse_federation_workers",
        "Regions that this process delivers to just now.",
        abroad.workers() as u64,
    );
    page.gauge(
        "posthouse_federation_unreachable_regions",
        "Regions that do not answer.",
        observer.unreachable_regions() as u64,
    );
    let (seen, keys) = (observer.counters(), abroad.keys());
    let counters = [
        ("alarms", "Streams that needed the operator's eye.", &seen.alarms),
        ("failed_messages", "Messages that other regions did not take.", &seen.failed),
        ("documents", "Documents of other regions that were fetched.", &keys.fetched),
        ("documents_refused", "Keys of other regions that were not believed.", &keys.not_believed),
    ];
    for (name, help, count) in counters {
        page.counter(&format!("posthouse_federation_{name}_total"), help, count.load(Relaxed));
    }
    let c = abroad.counters();
    let name = "posthouse_federation_requests_total";
    page.head(name, "counter", "Requests of other regions, by route.");
    for (route, count) in c.requests() {
        page.sample(name, &format!("{{route=\"{route}\"}}"), count);
    }
    let name = "posthouse_federation_refusals_total";
    page.head(name, "counter", "Requests of other regions that were refused, by code.");
    for (code, count) in c.refusals() {
        page.sample(name, &format!("{{code=\"{code}\"}}"), count);
    }
    page.gauge(
        "posthouse_federation_certificate_expires_timestamp_seconds",
        "When the certificate that other regions see expires.",
        abroad.identity().current().expires().0 / 1000,
    );
}

/// The page as it grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.sample(name, "", value);
    }
}
