//! Regions that find and believe each other.

use std::net::SocketAddr;

use crate::server::{Place, posthouse, run};

impl Place {
    /// Regions that believe one authority and ask the DNS server at `dns`: their names, and more flags
    /// for `posthouse init`.
    pub(crate) fn federated(dns: SocketAddr, regions: &[(&str, &[&str])]) -> Vec<Self> {
        let authority = tempfile::tempdir().unwrap();
        run(posthouse("certificate").args(["authority", "--dir"]).arg(authority.path()));
        let settings = vec![
            "client.tls=false".to_owned(),
            format!("federation.dns={dns}"),
            "federation.private_addresses=true".to_owned(),
        ];
        let region = |(domain, flags): &(&str, &[&str])| {
            let dir = tempfile::tempdir().unwrap();
            let mut init = posthouse("init");
            init.args(["--domain", domain, "--registration", "open", "--authority"]);
            run(init.arg(authority.path()).arg("--dir").arg(dir.path()).args(*flags));
            Self { dir, domain: (*domain).to_owned(), settings: settings.clone() }
        };
        regions.iter().map(region).collect()
    }
}
