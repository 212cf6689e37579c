//! What two regions show of themselves when they work: people of both write to each other, end-to-end
//! encrypted by the SDK, the link between the regions is cut and healed, and nothing is lost. `posthouse
//! demo` shows it with regions of its own, `posthouse check` with regions that run elsewhere.

mod inside;
mod link;
mod person;
mod story;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use posthouse_client::{Connector, Endpoint, Trust};
use posthouse_protocol::id::{Handle, HandleName, ServerName};

pub(crate) use inside::Inside;
pub(crate) use link::Link;
pub(crate) use person::Person;
pub(crate) use story::{NAMES, tell};

/// A region as its users meet it.
pub(crate) struct Region {
    domain: ServerName,
    /// What its person is called there: a free handle.
    handle: HandleName,
    /// How to reach its client listener.
    connector: Connector,
    /// Where its person's device keeps what it has; in memory if nowhere.
    device: Option<PathBuf>,
    /// What its server has, if it can be looked into.
    inside: Option<Inside>,
}

/// Two regions, and the links through which they reach each other.
pub(crate) struct Stage {
    /// The regions: the people of [`NAMES`] live there, one in each.
    pub(crate) regions: [Region; 2],
    /// The password of both.
    pub(crate) password: String,
    /// How long any single step may take. A link that was cut is tried again at growing intervals.
    pub(crate) patience: Duration,
    /// All that goes between the regions goes through these.
    pub(crate) links: Vec<Link>,
}

/// A step that did not show what it should: a whole sentence.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Region {
    /// The region `domain`, which serves clients at `address` with a certificate of an authority of
    /// the PEM text `authority`. Its person registers as `handle`.
    pub(crate) fn new(
        domain: ServerName,
        handle: HandleName,
        address: SocketAddr,
        authority: &[u8],
    ) -> Result<Self, Fault> {
        let endpoint = Endpoint::parse(&format!("https://{domain}:{}", address.port()))
            .map_err(|err| Fault(format!("{domain} cannot be addressed: {err}.")))?;
        let connector = Connector::new(endpoint, Trust::Pem(authority))
            .map_err(|err| Fault(format!("The authority's certificate does not do: {err}.")))?;
        let connector = connector.at(address);
        Ok(Self { domain, handle, connector, device: None, inside: None })
    }

    /// The same, whose person's device keeps what it has in the file `device`, and whose server is
    /// looked into.
    pub(crate) fn opened(self, device: PathBuf, inside: Inside) -> Self {
        Self { device: Some(device), inside: Some(inside), ..self }
    }

    /// How people of other regions name its person.
    fn address(&self) -> String {
        Handle { name: self.handle.clone(), server: self.domain.clone() }.to_string()
    }
}

impl Stage {
    fn cut(&self) {
        self.links.iter().for_each(Link::cut);
    }

    fn heal(&self) {
        self.links.iter().for_each(Link::heal);
    }
}
