//! The command line of `posthouse`: what it understands, and which part does it. Together with
//! `serve` this is the composition root; the environment is read here and nowhere else.

mod authority;
mod certificate;
mod evidence;
mod people;
mod settings;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    check::{self, Relay, Served},
    config::{
        self, CONFIG_VARIABLE, Config, Overrides, Sources,
        setting::Setting,
        table,
        value::{Form, Raw},
    },
    console::Console,
    demo, doctor,
    failure::{Exit, Failure},
    health,
    init::{self, CertificateChoice},
    serve,
};

/// A federated, end-to-end encrypted messaging homeserver.
#[derive(Debug, Parser)]
#[command(
    name = "posthouse",
    version,
    after_help = "Examples:\n  \
        posthouse init --domain eu.example --dir /etc/posthouse --registration open\n  \
        posthouse serve --config /etc/posthouse/posthouse.toml\n  \
        posthouse config check --config /etc/posthouse/posthouse.toml\n\n\
        Exit codes: 0 done, 1 other failure, 2 wrong command line or configuration, 3 keys or\n\
        certificate, 4 database, 5 network."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new region: settings, keys, certificate and database.
    Init(InitArgs),
    /// Serve a region until SIGTERM or SIGINT. SIGHUP reads the certificate again.
    #[command(after_help = "A second SIGTERM or SIGINT stops at once.\n\n\
        Examples:\n  \
        posthouse serve\n  \
        posthouse serve --config /etc/posthouse/posthouse.toml --log-format json\n  \
        posthouse serve --listen 127.0.0.1:0 --set operator.listen=off")]
    Serve(ConfigArgs),
    /// Watch two regions at work: people, messages, ticks, and a link that is cut. Needs no set-up
    /// and leaves nothing behind.
    Demo {
        /// End when the story is told, instead of serving until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Check that two running regions work together: messages both ways, and a cut link.
    #[command(
        after_help = "Each region's peers must be sent to this process (by SRV records or by \
        federation.overrides),\nwhich relays to the region and cuts the link for a while. Both must \
        let anyone register:\neach check leaves one account in each.\n\n\
        Example:\n  \
        posthouse check --authority ca.pem \\\n    \
        --region north.example=10.0.0.7:8443 --link 0.0.0.0:7443=10.0.0.7:7443 \\\n    \
        --region south.example=10.0.0.8:8443 --link 0.0.0.0:7444=10.0.0.8:7443"
    )]
    Check(CheckArgs),
    /// Ask a running server whether it is ready: the exit code tells.
    Health(ConfigArgs),
    /// Find out why another region is not reached: DNS, TCP, TLS, keys, clock, echo.
    #[command(
        after_help = "A running server is asked, which knows the region's keys; without one this \
        process\nexamines by itself. Exit code 5 if the region is not reachable.\n\n\
        Examples:\n  \
        posthouse doctor south.example\n  \
        posthouse doctor south.example --json --config /etc/posthouse/posthouse.toml"
    )]
    Doctor {
        /// The other region.
        domain: String,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Look at settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make, list and withdraw invitations, for a region whose accounts.registration is "invite".
    #[command(subcommand)]
    Invite(people::InviteCommand),
    /// Suspend, resume, show and list accounts.
    #[command(subcommand)]
    Account(people::AccountCommand),
    /// List, show and resolve reports about users.
    #[command(subcommand)]
    Report(people::ReportCommand),
    /// Take over a group whose region is gone for good.
    #[command(subcommand)]
    Group(people::GroupCommand),
    /// Care for the certificate.
    #[command(subcommand)]
    Certificate(CertificateCommand),
}

#[derive(Debug, Args)]
#[command(after_help = "Nothing that exists is ever overwritten.\n\n\
    Examples:\n  \
    posthouse init --domain eu.example\n  \
    posthouse init --domain eu.example --dir /etc/posthouse --certificate request\n  \
    posthouse init --domain eu.example --certificate none \
    --database postgres://posthouse@db.internal/posthouse")]
struct InitArgs {
    /// The region's domain: the part after the @ of its users' addresses.
    #[arg(long, value_name = "NAME")]
    domain: String,
    /// The directory for its files; made if it is missing.
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Who may register: open (anyone), invite (with a code) or closed (nobody).
    #[arg(long, default_value = "closed", value_name = "POLICY")]
    registration: String,
    /// The database: sqlite:PATH (relative to DIR) or postgres://USER@HOST/NAME.
    #[arg(long, default_value = "sqlite:data/posthouse.db", value_name = "URL")]
    database: String,
    /// Which certificate to make.
    #[arg(long, value_enum, default_value = "private-ca")]
    certificate: CertificateChoice,
    /// The directory of a private authority (ca.pem, ca.key) that is to issue the certificate,
    /// instead of a new one.
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A region and its client listener; there are two.
    #[arg(long = "region", required = true, value_name = "DOMAIN=HOST:PORT")]
    regions: Vec<Served>,
    /// Where a region's peers connect, and the federation listener to relay to; for each region.
    #[arg(long = "link", required = true, value_name = "ADDRESS:PORT=HOST:PORT")]
    links: Vec<Relay>,
    /// The certificate of the authority that vouches for the client listeners (PEM).
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// How long any single step may take, such as "30s".
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    patience: Duration,
}

/// The settings, and what overrides them.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file; also POSTHOUSE_CONFIG [default: posthouse.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides client.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Overrides operator.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    operator_listen: Option<String>,
    /// Overrides database.url.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Overrides log.format: human or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Overrides log.filter, such as info or info,sqlx=warn.
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// Overrides any setting; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the settings and the certificates that they name, and show what is in force, without
    /// secrets.
    Check(ConfigArgs),
    /// Print a commented file with every setting.
    Sample {
        /// The region's domain.
        #[arg(long, value_name = "NAME")]
        domain: String,
    },
    /// Print the reference of all settings, in Markdown.
    Reference,
}

#[derive(Debug, Subcommand)]
enum CertificateCommand {
    /// Issue a new certificate with the private authority that `init` made. A running server takes
    /// it within a minute, or on SIGHUP.
    Renew {
        /// The directory of the authority, if it is not beside the certificate.
        #[arg(long, value_name = "DIR")]
        authority: Option<PathBuf>,
        #[command(flatten)]
        settings: ConfigArgs,
    },
    /// Make a private authority for a federation of its own: `init --authority` issues with it.
    Authority {
        /// The directory for ca.pem and ca.key.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A name that it may vouch for; may be repeated. Without one it may vouch for any.
        #[arg(long = "for", value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let console = Console;
    match run(Cli::parse().command, console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.failure(&failure);
            failure.exit().into()
        }
    }
}

fn run(command: Command, console: Console) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(&args.request()?, console),
        Command::Serve(args) => {
            let (config, _) = args.load()?;
            serve::run(config, console)
        }
        Command::Demo { once } => demo::run(once, console),
        Command::Check(args) => check::run(&args.request()?, console),
        Command::Health(args) => {
            let (config, _) = args.load()?;
            health::ask(&config, console)
        }
        Command::Doctor { domain, json, settings } => {
            let peer = parsed("DOMAIN", &table::DOMAIN, &domain)?;
            let (config, _) = settings.load()?;
            doctor::run(&config, &peer, json, console)
        }
        Command::Config(ConfigCommand::Check(args)) => {
            let (config, sources) = args.load()?;
            settings::check(&config, &sources, console)
        }
        Command::Config(ConfigCommand::Sample { domain }) => {
            let domain = parsed("--domain", &table::DOMAIN, &domain)?;
            let quoted = toml::Value::String(domain.as_str().into()).to_string();
            console.text(config::sample(&[(table::DOMAIN.key, quoted)]));
            Ok(())
        }
        Command::Config(ConfigCommand::Reference) => {
            console.text(config::reference());
            Ok(())
        }
        Command::Invite(command) => people::invite(command, console),
        Command::Account(command) => people::account(command, console),
        Command::Report(command) => people::report(command, console),
        Command::Group(command) => people::group(command, console),
        Command::Certificate(CertificateCommand::Renew { authority, settings }) => {
            let (config, _) = settings.load()?;
            certificate::renew(&config, authority.as_deref(), console)
        }
        Command::Certificate(CertificateCommand::Authority { dir, names }) => {
            let names: Result<Vec<_>, _> =
                names.iter().map(|name| parsed("--for", &table::DOMAIN, name)).collect();
            authority::make(&dir, &names?, console)
        }
    }
}

impl InitArgs {
    fn request(self) -> Result<init::Request, Failure> {
        let domain = parsed("--domain", &table::DOMAIN, &self.domain)?;
        parsed("--registration", &table::ACCOUNTS_REGISTRATION, &self.registration)?;
        let parsed_database = parsed("--database", &table::DATABASE_URL, &self.database)?;
        Ok(init::Request {
            domain,
            dir: self.dir,
            registration: self.registration,
            database: self.database,
            parsed_database,
            certificate: self.certificate,
            authority: self.authority,
        })
    }
}

impl CheckArgs {
    fn request(self) -> Result<check::Request, Failure> {
        let two = |what: &str| {
            let advice = "`posthouse check --help` shows an example.";
            Failure::new(Exit::Config, format!("There must be two {what}."), advice)
        };
        let Self { regions, links, authority, patience } = self;
        let regions = regions.try_into().map_err(|_| two("--region"))?;
        if links.len() != 2 {
            return Err(two("--link"));
        }
        Ok(check::Request { regions, links, authority, patience })
    }
}

impl ConfigArgs {
    fn load(self) -> Result<(Config, Sources), Failure> {
        // Names and values that are no UTF-8 cannot be settings.
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let from_variable =
            || environment.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, path)| path);
        let path = match (self.config, from_variable()) {
            (Some(path), _) => path,
            (None, Some(path)) => path.into(),
            (None, None) => config::FILE_NAME.into(),
        };
        let named = [
            ("--listen", table::CLIENT_LISTEN.key, self.listen),
            ("--operator-listen", table::OPERATOR_LISTEN.key, self.operator_listen),
            ("--database", table::DATABASE_URL.key, self.database),
            ("--log-format", table::LOG_FORMAT.key, self.log_format),
            ("--log-filter", table::LOG_FILTER.key, self.log_filter),
        ];
        let mut flags: Vec<(String, String, String)> = named
            .into_iter()
            .filter_map(|(flag, key, value)| Some((flag.into(), key.into(), value?)))
            .collect();
        for pair in self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::new(
                    Exit::Config,
                    format!("The flag --set {pair} has no value."),
                    "Write --set NAME=VALUE, such as --set client.listen=127.0.0.1:8443.",
                )
            })?;
            flags.push(("--set".into(), key.trim().into(), value.trim().into()));
        }
        Config::load(&path, &Overrides { flags, environment })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::read(&Raw::Plain(text.into()))
}

fn parsed<T: Form>(flag: &str, setting: &Setting<T>, text: &str) -> Result<T, Failure> {
    setting.parse(&Raw::Plain(text.into())).map_err(|why| {
        Failure::new(
            Exit::Config,
            format!("The flag {flag}: {why}."),
            "`posthouse init --help` shows examples.",
        )
    })
}
