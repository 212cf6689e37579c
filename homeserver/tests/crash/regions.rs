//! Two regions that find and believe each other.

use std::net::SocketAddr;

use crate::server::{Place, posthouse, run};

impl Place {
    /// Two regions that believe one authority and ask the DNS server at `dns`.
    pub(crate) fn pair(dns: SocketAddr, flags: [&[&str]; 2]) -> [Self; 2] {
        let authority = tempfile::tempdir().unwrap();
        run(posthouse("certificate").args(["authority", "--dir"]).arg(authority.path()));
        let settings = vec![
            "client.tls=false".to_owned(),
            format!("federation.dns={dns}"),
            "federation.private_addresses=true".to_owned(),
        ];
        let region = |domain: &str, flags: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            let mut init = posthouse("init");
            init.args(["--domain", domain, "--registration", "open", "--authority"]);
            run(init.arg(authority.path()).arg("--dir").arg(dir.path()).args(flags));
            Self { dir, domain: domain.to_owned(), settings: settings.clone() }
        };
        [region("north.test", flags[0]), region("south.test", flags[1])]
    }
}
