//! The settings as a whole: the table, the file, the environment, flags, and what is shown.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    table::{SECTIONS, SETTINGS},
    *,
};

fn load(text: &str, overrides: &Overrides) -> Result<(Config, Sources), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(&path, text).unwrap();
    // The directory's name is random: the file is called by its own.
    Config::load(&path, overrides)
        .map_err(|failure| failure.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn problems(text: &str) -> String {
    load(text, &Overrides::default()).unwrap_err()
}

fn flag(key: &str, value: &str) -> Overrides {
    let flags = vec![("--set".into(), key.into(), value.into())];
    Overrides { flags, environment: Vec::new() }
}

#[test]
fn names_are_unique_and_every_section_is_known() {
    let mut seen = BTreeSet::new();
    for setting in SETTINGS {
        assert!(seen.insert(setting.key()), "{} stands twice", setting.key());
        let section = setting.section();
        assert!(SECTIONS.iter().any(|(name, _)| *name == section), "no section {section}");
        assert!(setting.about().ends_with('.'), "{} has no sentence", setting.key());
    }
}

/// A sample in which every default is written out means the same as one without.
#[test]
fn written_defaults_are_the_defaults() {
    let domain = ("domain", "\"eu.example\"".to_owned());
    let mut all = vec![domain.clone()];
    let rest = SETTINGS.iter().filter_map(|s| Some((s.key(), s.default()?.to_owned())));
    all.extend(rest);
    let (written, _) = load(&sample(&all), &Overrides::default()).unwrap();
    let (absent, _) = load(&sample(&[domain]), &Overrides::default()).unwrap();
    // The two lie in different directories.
    let shown = |config: &Config| {
        format!("{config:?}").replace(&config.file.parent().unwrap().display().to_string(), "")
    };
    assert_eq!(shown(&written), shown(&absent));
}

/// Every setting of the table is read: a wrong value of it is noticed.
#[test]
fn every_setting_is_read() {
    for setting in SETTINGS {
        let text = format!("domain = \"eu.example\"\n[{}]\n", setting.section());
        let text = if setting.section().is_empty() { "" } else { text.as_str() };
        let line = format!("{} = [[1]]\n", setting.name());
        let said = problems(&format!("{text}{line}"));
        assert!(said.contains(setting.key()), "{}: {said}", setting.key());
        // A value of the right type and a wrong meaning is noticed by the one who reads it.
        let paths = [<PathBuf as value::Form>::FORM, <Vec<Authority> as value::Form>::FORM];
        if !paths.contains(&setting.form()) {
            let wrong = flag(setting.key(), "/ no such value /");
            let said = load("domain = \"eu.example\"", &wrong).unwrap_err();
            assert!(said.contains("flag --set"), "{}: {said}", setting.key());
        }
    }
}

#[test]
fn the_sample_is_as_reviewed() {
    insta::assert_snapshot!(sample(&[("domain", "\"eu.example\"".into())]));
}

#[test]
fn the_guide_has_the_reference() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operator.md");
    let guide = fs::read_to_string(guide).unwrap();
    assert!(
        guide.contains(&reference()),
        "docs/operator.md differs: put in what `posthouse config reference` prints"
    );
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    let said = problems("domain = \"eu.example\"\n\n[client]\nlisten_on = \"0.0.0.0:1\"\n");
    assert!(
        said.contains("posthouse.toml line 4: there is no setting \"client.listen_on\"."),
        "{said}"
    );
    assert!(said.contains("Did you mean \"client.listen\"?"), "{said}");
    let said = problems("domain = \"eu.example\"\nregistration = \"open\"\n");
    assert!(said.contains("Did you mean \"accounts.registration\"?"), "{said}");
    for far in ["foo", "theme", "client.theme"] {
        let said = problems(&format!("domain = \"eu.example\"\n{far} = 1\n"));
        let told = format!("there is no setting \"{far}\". `posthouse config reference`");
        assert!(said.contains(&told), "{said}");
    }
    let said = problems("domain = \"eu.example\"\n[media]\nport = 1\nhost = 2\n");
    assert!(said.contains("line 2: there is no setting \"media\"."), "{said}");
    assert!(!said.contains("media.port"), "{said}");
}

#[test]
fn wrong_types_and_units_are_explained_with_their_lines() {
    let said = problems(
        "domain = \"EU.example\"\ndrain = 10\n[client]\ntls = \"yes\"\nmax_connections = \"many\"\n\
         listen = [\"0.0.0.0\"]\n[accounts]\nregistration = \"friends\"\n",
    );
    for line in [
        "line 1: domain: not a server name: only lowercase",
        "line 2: drain: a time with its unit (ms, s, m, h), such as \"10s\" is expected, but this \
         is the number 10",
        "line 4: client.tls: true or false is expected, but this is the text \"yes\"",
        "line 5: client.max_connections: a whole number is expected",
        "line 6: client.listen: an IP address with a port",
        "line 8: accounts.registration: \"open\", \"invite\" or \"closed\" is expected",
    ] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    let said = problems("domain = \"eu.example\"\ndrain = \"2h\"\n");
    assert!(said.contains("drain: at most 10m is allowed"), "{said}");
    let said = problems("domain = \"eu.example\"\n[client\n");
    assert!(said.contains("line 2: this is not TOML"), "{said}");
}

#[test]
fn a_missing_domain_is_named() {
    assert!(problems("").contains("domain is missing"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text = "domain = \"eu.example\"\ndrain = \"1s\"\n";
    let mut overrides = Overrides::default();
    let drain = |overrides: &Overrides| load(text, overrides).unwrap().0.drain.as_secs();
    assert_eq!(drain(&overrides), 1);
    overrides.environment.push(("POSTHOUSE_DRAIN".into(), "2s".into()));
    assert_eq!(drain(&overrides), 2);
    overrides.flags = flag("drain", "3s").flags;
    assert_eq!(drain(&overrides), 3);
}

#[test]
fn lists_in_the_environment_are_separated_by_commas() {
    let mut overrides = Overrides::default();
    let (name, text) = ("POSTHOUSE_CLIENT_LISTEN", "127.0.0.1:1, [::1]:2");
    overrides.environment.push((name.into(), text.into()));
    let (config, sources) = load("domain = \"eu.example\"", &overrides).unwrap();
    assert_eq!(config.client.listen.len(), 2);
    assert_eq!(sources.origin("client.listen"), Origin::Variable(name.into()));
}

/// A container platform sets variables such as this one for a service called posthouse.
#[test]
fn a_strange_variable_is_a_warning() {
    let mut overrides = Overrides::default();
    overrides.environment.push(("POSTHOUSE_SERVICE_HOST".into(), "10.0.0.1".into()));
    overrides.environment.push(("POSTHOUSE_CHAT_DIR".into(), "/home/ada/chat".into()));
    let (config, _) = load("domain = \"eu.example\"", &overrides).unwrap();
    assert!(config.warnings.iter().any(|said| said.contains("POSTHOUSE_SERVICE_HOST")));
    let of_the_client = |said: &&String| said.contains("POSTHOUSE_CHAT_DIR");
    assert_eq!(config.warnings.iter().find(of_the_client), None, "it is the client's");
}

#[test]
fn a_password_is_shown_nowhere() {
    for url in [
        "postgres://ph:geheim@db.internal:5433/posthouse?sslmode=require",
        "postgres://ph@db.internal:5433/posthouse?password=geheim",
    ] {
        let (config, sources) =
            load("domain = \"eu.example\"", &flag("database.url", url)).unwrap();
        let shown = effective(&sources);
        assert!(shown.contains("\"postgres://ph@db.internal:5433/posthouse\""), "{shown}");
        let everything = format!("{shown}{config:?}{}", config.database);
        assert!(!everything.contains("geheim"), "{everything}");
        let Database::Postgres(parsed) = config.database else { panic!("not PostgreSQL") };
        assert!(parsed.has_password());
        assert_eq!(parsed.expose(), url);
    }
    let said = load("domain = \"eu.example\"", &flag("database.url", "postgres://ph:geheim@/"));
    assert!(!said.unwrap_err().contains("geheim"));
    let said = load("domain = \"eu.example\"", &flag("database.url", "mysql://ph:geheim@h/x"));
    assert!(!said.unwrap_err().contains("geheim"));
}

#[test]
fn a_file_with_a_password_must_be_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let text = "domain = \"eu.example\"\n[database]\nurl = \"postgres://ph:geheim@h/x\"\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = Config::load(&path, &Overrides::default()).unwrap_err().to_string();
    assert!(said.contains(&format!("chmod 600 {}", path.display())), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Config::load(&path, &Overrides::default()).unwrap();
}

/// What `config check` prints is itself a configuration with the same meaning.
#[test]
fn what_is_shown_can_be_read() {
    let overrides = flag("client.trusted_proxies", "10.0.0.0/8,::1");
    let (config, sources) =
        load("domain = \"eu.example\"\n[log]\nfilter = \"a=info\"", &overrides).unwrap();
    let (again, _) = load(&effective(&sources), &Overrides::default()).unwrap();
    assert_eq!(again.client.trusted_proxies, config.client.trusted_proxies);
    assert_eq!(again.log_filter, config.log_filter);
}
