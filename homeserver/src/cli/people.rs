//! `posthouse invite`, `posthouse account` and `posthouse report`: an order is carried out on the database, or by the
//! server that has its SQLite file open.

use core::fmt::Write as _;
use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Subcommand;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use posthouse_protocol::{
    id::{GroupId, HandleName},
    problem::{Code, Problem, Rejection},
    rest::ReportReason,
    time::{Clock, Timestamp},
};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};
use uuid::Uuid;

use super::ConfigArgs;
use crate::{
    clock::{SystemClock, system_random},
    config::{
        Config,
        value::{Form as _, Raw},
    },
    console::Console,
    database,
    failure::{Exit, Failure},
    keys,
    operator::{
        Operator,
        order::{
            AccountShown, Answer, InviteShown, MAX_LIST, MAX_REPORTS, Order, ReportShown,
            check_invite,
        },
        seal,
    },
    random::Random,
};

/// How long a server may take for an order.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// `posthouse invite …`
#[derive(Debug, Subcommand)]
pub(super) enum InviteCommand {
    /// Make an invitation and print its code, which is shown this once.
    #[command(after_help = "Example:\n  posthouse invite create --uses 5 --expires 7d")]
    Create {
        /// How many accounts may be registered with it.
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        uses: u32,
        /// How long it is good for: a number and a unit (m, h, d).
        #[arg(long, default_value = "7d", value_name = "TIME")]
        expires: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// List invitations, the newest first.
    List {
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Withdraw an invitation. Accounts that were registered with it stay.
    Withdraw {
        /// Its code, or the first group of it.
        id: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
}

/// `posthouse account …`
#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Keep an account out: its sessions end at once, also in a running server.
    Suspend {
        /// Its handle or id.
        user: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Let a suspended account in again. It has to log in.
    Resume {
        /// Its handle or id.
        user: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Show an account and its devices.
    Show {
        /// Its handle or id.
        user: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// List accounts by handle, a thousand at a time.
    List {
        /// List those after this handle.
        #[arg(long, value_name = "HANDLE")]
        after: Option<String>,
        #[command(flatten)]
        settings: ConfigArgs,
    },
}

/// `posthouse report …`
#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// List reports about users that wait, the oldest first.
    List {
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Show a report and the messages that its reporter chose to show.
    Show {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Be done with a report; it is deleted 90 days later.
    #[command(after_help = "Example:\n  posthouse report resolve ID --note \"suspended\"")]
    Resolve {
        /// Its id.
        id: Uuid,
        /// What was done about it.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        settings: ConfigArgs,
    },
}

/// `posthouse group …`
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Sequence a group from here on: its owner has named this region as deputy, and the region that
    /// has the group is gone for good.
    #[command(after_help = "Example:\n  posthouse group take-over g.UUID@eu.example")]
    TakeOver {
        /// The group's id.
        group: String,
        #[command(flatten)]
        settings: ConfigArgs,
    },
}

/// Runs `posthouse group …`.
pub(super) fn group(command: GroupCommand, console: Console) -> Result<(), Failure> {
    let GroupCommand::TakeOver { group, settings } = command;
    let group = GroupId::parse(&group).map_err(|err| wrong(&err.to_string()))?;
    carry_out(settings, Order::GroupTakeOver { group }, console)
}

/// Runs `posthouse report …`.
pub(super) fn report(command: ReportCommand, console: Console) -> Result<(), Failure> {
    let (order, settings) = match command {
        ReportCommand::List { settings } => (Order::ReportList, settings),
        ReportCommand::Show { id, settings } => (Order::ReportShow { id }, settings),
        ReportCommand::Resolve { id, note, settings } => {
            (Order::ReportResolve { id, note }, settings)
        }
    };
    carry_out(settings, order, console)
}

/// Runs `posthouse invite …`.
pub(super) fn invite(command: InviteCommand, console: Console) -> Result<(), Failure> {
    let (order, settings) = match command {
        InviteCommand::Create { uses, expires, settings } => {
            let expires_in_ms = lifetime(&expires)?;
            check_invite(uses, expires_in_ms).map_err(|rejection| wrong(&rejection.detail))?;
            (Order::InviteCreate { uses, expires_in_ms }, settings)
        }
        InviteCommand::List { settings } => (Order::InviteList, settings),
        InviteCommand::Withdraw { id, settings } => (Order::InviteWithdraw { id }, settings),
    };
    carry_out(settings, order, console)
}

/// Runs `posthouse account …`.
pub(super) fn account(command: AccountCommand, console: Console) -> Result<(), Failure> {
    let (order, settings) = match command {
        AccountCommand::Suspend { user, settings } => (Order::AccountSuspend { user }, settings),
        AccountCommand::Resume { user, settings } => (Order::AccountResume { user }, settings),
        AccountCommand::Show { user, settings } => (Order::AccountShow { user }, settings),
        AccountCommand::List { after, settings } => {
            let after = after.as_deref().map(HandleName::parse).transpose();
            let after = after.map_err(|err| wrong(&format!("--after: {err}")))?;
            (Order::AccountList { after }, settings)
        }
    };
    carry_out(settings, order, console)
}

/// A number of days, or what settings take for a time; in milliseconds.
fn lifetime(text: &str) -> Result<u64, Failure> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return Ok(days.saturating_mul(86_400_000));
    }
    let time = Duration::read(&Raw::Plain(text.into()));
    let time = time.map_err(|why| wrong(&format!("--expires: {why}")))?;
    Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn wrong(fact: &str) -> Failure {
    let advice = "`posthouse invite create --help` and `posthouse account --help` show examples.";
    Failure::new(Exit::Config, format!("The command line is wrong: {fact}."), advice)
}

fn carry_out(settings: ConfigArgs, order: Order, console: Console) -> Result<(), Failure> {
    let (config, _) = settings.load()?;
    let runtime = Runtime::new().map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("The command cannot be started: {err}."),
            "Check the limits of the process (ulimit -u).",
        )
    })?;
    let answer = runtime.block_on(perform(&config, order))?;
    console.text(shown(&answer));
    Ok(())
}

async fn perform(config: &Config, order: Order) -> Result<Answer, Failure> {
    let random = Arc::new(Random::from_seed(system_random()?));
    match database::open_if_free(&config.database, &config.domain, random.uuid()).await? {
        Some(open) => {
            let store = Arc::new(open.store.clone());
            let with = (Arc::new(SystemClock) as Arc<dyn Clock>, random);
            let operator = Operator::on(&store, config.domain.clone(), None, with);
            let answer = operator.carry_out(order).await.map_err(|rejection| refused(&rejection));
            store.close().await;
            answer
        }
        None => ask(config, &order).await,
    }
}

/// Hands the order to the server that has the database open.
async fn ask(config: &Config, order: &Order) -> Result<Answer, Failure> {
    let Some(address) = config.operator else {
        return Err(Failure::new(
            Exit::Database,
            "A server uses the database, and its operator listener is off.",
            "Stop the server for this command, or set operator.listen and restart it.",
        ));
    };
    let key = keys::load_signing_key(&config.signing_key)?;
    let body = serde_json::to_vec(order).unwrap_or_default();
    let seal = seal::seal(&key, &config.domain, SystemClock.now(), &body);
    match timeout(TIMEOUT, post(address, seal, body)).await {
        Ok(Ok((status, answer))) if status.is_success() => {
            serde_json::from_slice(&answer).map_err(|err| silent(address, &err.to_string()))
        }
        Ok(Ok((_, answer))) => {
            let problem = serde_json::from_slice::<Problem>(&answer);
            let problem = problem.map_err(|err| silent(address, &err.to_string()))?;
            let code = Code::ALL.iter().find(|code| code.as_str() == problem.code).copied();
            Err(refused(&Rejection::new(code.unwrap_or(Code::Internal), problem.detail)))
        }
        Ok(Err(err)) => Err(silent(address, &err.to_string())),
        Err(_) => Err(silent(address, "it did not answer in time")),
    }
}

type Broken = Box<dyn core::error::Error + Send + Sync>;

async fn post(
    address: SocketAddr,
    seal: String,
    body: Vec<u8>,
) -> Result<(hyper::StatusCode, Bytes), Broken> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/orders")
        .header(header::HOST, address.to_string())
        .header(header::AUTHORIZATION, seal)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
    driving.abort();
    Ok((head.status, body))
}

fn silent(address: SocketAddr, fact: &str) -> Failure {
    Failure::new(
        Exit::Network,
        format!("A server uses the database, and does not take orders on {address}: {fact}."),
        "Check that operator.listen here is what that server was started with.",
    )
}

fn refused(rejection: &Rejection) -> Failure {
    let advice = match rejection.code {
        Code::UnknownUser => "`posthouse account list` shows the accounts.",
        Code::NotFound => {
            "Check what you named: `posthouse invite list`, `account list` and `report list` show what there \
             is; a group is named by its whole id."
        }
        Code::Unauthorized => {
            "Use the configuration and the signing key of the server that has the database open."
        }
        Code::Unavailable | Code::Internal => {
            "The database did not take it: its disk may be full, or its server away. The log of the \
             running server and `posthouse health` say more; then repeat the command."
        }
        _ => "Check the order; the server's log may have more.",
    };
    let exit = match rejection.code {
        Code::Unavailable | Code::Internal => Exit::Database,
        _ => Exit::Other,
    };
    Failure::new(exit, format!("It was not done: {}.", rejection.detail), advice)
}

/// An answer as text.
fn shown(answer: &Answer) -> String {
    let mut out = String::new();
    match answer {
        Answer::Done => out.push_str("done\n"),
        Answer::Code { code, uses, expires_at } => {
            _ = writeln!(out, "{}\n# {uses} uses, until {}", code.0, date(*expires_at));
        }
        Answer::Invites { invites } => {
            for InviteShown { id, uses, used, expires_at, usable } in invites {
                let state = if *usable { "usable" } else { "over" };
                let until = date(*expires_at);
                _ = writeln!(out, "{id}-…  {used} of {uses} used  until {until}  {state}");
            }
        }
        Answer::Account { account, devices } => {
            line(&mut out, account);
            for device in devices {
                let (added, seen) = (date(device.created_at), date(device.active_at));
                let number = device.number.get();
                _ = writeln!(out, "  device {number}  added {added}  last seen {seen}");
            }
        }
        Answer::Accounts { accounts } => {
            for account in accounts {
                line(&mut out, account);
            }
            if let Some(last) = accounts.last().filter(|_| accounts.len() >= MAX_LIST) {
                _ = writeln!(out, "# more: posthouse account list --after {}", last.handle);
            }
        }
        Answer::Gone { account_id, deleted_at } => {
            _ = writeln!(out, "{account_id}  deleted {}", date(*deleted_at));
        }
        Answer::Reports { reports } => {
            for report in reports {
                report_line(&mut out, report);
            }
            if reports.len() >= MAX_REPORTS {
                out.push_str("# there are more: resolve some of these\n");
            }
        }
        Answer::Report { report, comment, evidence, note } => {
            report_line(&mut out, report);
            if let Some(comment) = comment {
                // What strangers wrote is quoted: it may hold control characters.
                _ = writeln!(out, "  comment {comment:?}");
            }
            super::evidence::show(&mut out, evidence);
            if let (Some(at), note) = (report.resolved_at, note) {
                let note = note.as_deref().unwrap_or_default();
                _ = writeln!(out, "  resolved {}  {note:?}", date(at));
            }
        }
    }
    out
}

fn report_line(out: &mut String, report: &ReportShown) {
    let ReportShown { id, reporter, reported, reason, at, .. } = report;
    let reason = match reason {
        ReportReason::Spam => "spam",
        ReportReason::Harassment => "harassment",
        ReportReason::Impersonation => "impersonation",
        ReportReason::Illegal => "illegal",
        ReportReason::Other => "other",
    };
    _ = writeln!(out, "{id}  {}  {reason}  {reported}  reported by {reporter}", date(*at));
}

fn line(out: &mut String, account: &AccountShown) {
    let AccountShown { account_id, handle, suspended, created_at } = account;
    let state = if *suspended { "suspended" } else { "active" };
    let since = date(*created_at);
    _ = writeln!(out, "{handle}  {account_id}  {state}  registered {since}");
}

/// A day and a minute in UTC, by the algorithm `civil_from_days` of Howard Hinnant.
pub(super) fn date(at: Timestamp) -> String {
    let minutes = at.0 / 60_000;
    let (days, minute) = (minutes / 1_440, minutes % 1_440);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (1_798_761_600, "2027-01-01 00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(Timestamp(seconds * 1_000)), text);
        }
    }

    #[test]
    fn lifetimes_are_days_or_times() {
        assert_eq!(lifetime("7d").unwrap(), 7 * 86_400_000);
        assert_eq!(lifetime("12h").unwrap(), 12 * 3_600_000);
        for bad in ["", "d", "7", "-1d", "7 days", "1.5d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
