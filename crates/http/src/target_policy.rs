//! The hosts that may be loaded, and by how many viewers: allow-lists, caps of the site, and confirmation.
//!
//! It is easy to paste the URL of someone else's CDN by mistake. Loopback is always allowed, private addresses
//! need no confirmation, but loading a public address with many viewers does.

use std::net::IpAddr;

use serde::Deserialize;
use url::{Host, Url};

use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text;

/// The largest number of viewers that needs no confirmation.
pub const ASK_ABOVE: u32 = 100;

/// The rules of a machine or a user, from a TOML file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Hosts that may be loaded; any if absent.
    pub allow_hosts: Option<Vec<String>>,
    /// Most viewers of one process; unlimited if absent.
    pub max_clients: Option<u32>,
    /// The number of viewers above which a public address needs confirmation.
    pub ask_above: Option<u32>,
}

impl Site {
    /// Reads the file `name`.
    ///
    /// # Errors
    /// A usage failure that names the file, the line and the key.
    pub fn read(name: &str, text: &str) -> Result<Self, Failure> {
        profile_text::read(name, text, "its keys are allow_hosts, max_clients and ask_above")
    }
}

/// The rules of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetPolicy {
    /// Allow-lists with their sources; a host has to be on each.
    lists: Vec<(String, Vec<Pattern>)>,
    /// The maximum number of viewers, and the file that sets it.
    most: Option<(u32, String)>,
    ask_above: u32,
    /// Viewers of the load including those of other shards, because a server serves all of them.
    whole: u32,
    /// Viewers of other shards.
    elsewhere: u32,
    /// Whether the user has confirmed the load, or does not need to.
    consent: bool,
    /// Whether a stream is at a public address that is on no allow-list.
    public: bool,
}

/// A host by name, or all hosts below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exactly(String),
    Below(String),
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        let below = text.strip_prefix("*.");
        let host = below.unwrap_or(text);
        // An IPv6 address needs its brackets to be a host.
        let bracketed =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let host = Host::parse(&bracketed).ok().filter(|_| !host.contains('*'))?.to_string();
        let many_labels = host.contains('.');
        Some(match below {
            // "*.com" would allow half of the world.
            Some(_) if many_labels => Self::Below(format!(".{host}")),
            Some(_) => return None,
            None => Self::Exactly(host),
        })
    }

    /// Reads the hosts of `list`, which the failure names.
    pub(crate) fn read_all(list: &str, hosts: &[String]) -> Result<Vec<Self>, Failure> {
        hosts.iter().map(|host| Self::read(host).ok_or_else(|| no_host(list, host))).collect()
    }

    /// The host in the syntax of the probe's settings.
    pub(crate) fn probe_setting(&self) -> String {
        match self {
            Self::Exactly(host) => host.trim_matches(['[', ']']).to_owned(),
            Self::Below(end) => format!("*{end}"),
        }
    }

    pub(crate) fn holds(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::Below(end) => host.ends_with(end),
        }
    }
}

impl TargetPolicy {
    /// The rules for a load of `whole` viewers, `clients` of them on this machine: `typed` hosts (flags and
    /// profile), and the rules of `sites` (file and content). `consent`: whether `--yes` confirms the load.
    ///
    /// # Errors
    /// A usage failure if a host is invalid, or if there are more viewers than a site allows.
    pub fn new(
        typed: &[String],
        sites: &[(String, Site)],
        clients: u32,
        whole: u32,
        consent: bool,
    ) -> Result<Self, Failure> {
        let elsewhere = whole.saturating_sub(clients);
        let mut target_policy = Self { whole, elsewhere, consent, ask_above: ASK_ABOVE, ..Self::default() };
        let from_files = sites
            .iter()
            .filter_map(|(name, site)| Some((format!("{name}: allow_hosts"), site.allow_hosts.as_deref()?)));
        let from_flags = (!typed.is_empty()).then(|| ("--allow-host".to_owned(), typed));
        for (name, hosts) in from_flags.into_iter().chain(from_files) {
            let patterns = Pattern::read_all(&name, hosts)?;
            target_policy.lists.push((name, patterns));
        }
        for (name, site) in sites {
            target_policy.ask_above = target_policy.ask_above.min(site.ask_above.unwrap_or(ASK_ABOVE));
            if let Some(most) = site.max_clients
                && target_policy.most.as_ref().is_none_or(|(other, _)| most < *other)
            {
                target_policy.most = Some((most, name.clone()));
            }
        }
        match &target_policy.most {
            Some((most, name)) if clients > *most => Err(Failure::usage(format!(
                "--clients {clients}: {name} allows {most} viewers on this machine"
            ))
            .help(format!("run {most} viewers or fewer, or ask the administrator of {name}"))),
            _ => Ok(target_policy),
        }
    }

    /// The policy of a single page that may redirect within its host (and to this machine) only.
    #[must_use]
    pub fn same_host(url: &Url) -> Self {
        let own = Pattern::Exactly(url.host_str().unwrap_or_default().to_owned());
        Self { lists: vec![(format!("{} itself", url.path()), vec![own])], consent: true, ..Self::default() }
    }

    /// Records that the user has confirmed the load.
    pub const fn grant_consent(&mut self) {
        self.consent = true;
    }

    /// Checks whether all allow-lists have the host of `url`.
    ///
    /// # Errors
    /// A preflight failure that names the host and the list that it is missing from.
    pub fn check_url(&self, url: &Url) -> Result<(), Failure> {
        let Some(host) = url.host_str() else { return Ok(()) };
        if is_loopback(url) {
            return Ok(());
        }
        let plain = host.trim_end_matches('.');
        match self.lists.iter().find(|(_, list)| !list.iter().any(|pattern| pattern.holds(plain))) {
            None => Ok(()),
            Some((name, _)) => {
                let help = if name.starts_with("--") {
                    format!("add --allow-host {host} if this host is yours to load")
                } else {
                    format!("add {host} there if this host is yours to load")
                };
                Err(Failure::preflight(format!("{host} is not among the hosts that {name} allows"))
                    .help(help))
            }
        }
    }

    /// Whether any host may be forbidden. Then a stream that could not be checked must not be loaded.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        !self.lists.is_empty() || (self.whole > self.ask_above && !self.consent)
    }

    /// The rules that hold while viewers play, in the syntax of the probe's settings; empty = any host may be
    /// connected to. As in [`Self::check_url`] and [`Self::asks`], each list has to have the host, and where
    /// there is none, a load that needs confirmation may reach no public address.
    #[must_use]
    pub fn probe_settings(&self) -> Vec<String> {
        let list = |(_, hosts): &(String, Vec<Pattern>)| {
            // Loopback is always allowed; a list without any host allows nothing else.
            let mut all: Vec<String> = hosts.iter().map(Pattern::probe_setting).collect();
            if all.is_empty() {
                all.push("localhost".to_owned());
            }
            format!("hosts={}", all.join(","))
        };
        if self.is_local_only() {
            return vec!["local=only".to_owned()];
        }
        self.lists.iter().map(list).collect()
    }

    /// Whether viewers may connect to `address`, whatever its name is.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        !self.is_local_only() || is_local(address)
    }

    /// Whether no public address may be reached.
    const fn is_local_only(&self) -> bool {
        self.lists.is_empty() && self.whole > self.ask_above && !self.consent
    }

    /// Whether loading `url`, which is at `addresses`, needs confirmation. A host on an allow-list needs none.
    #[must_use]
    pub fn asks(&self, url: &Url, addresses: &[IpAddr]) -> bool {
        self.whole > self.ask_above && !self.consent && self.is_public(url, addresses)
    }

    /// Whether `url`, which is at `addresses`, is public and not on the allow-lists.
    #[must_use]
    pub fn is_public(&self, url: &Url, addresses: &[IpAddr]) -> bool {
        let listed = !self.lists.is_empty() && self.check_url(url).is_ok();
        !listed && addresses.iter().any(|address| !is_local(*address))
    }

    /// Records that a stream of the run is public.
    pub const fn reaches_public(&mut self) {
        self.public = true;
    }

    /// Checks whether the load may be raised manually to `viewers`; the user can no longer be asked.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn check_manual_change(&self, viewers: u32) -> Result<(), String> {
        match &self.most {
            Some((most, name)) if viewers > *most => {
                Err(format!("{name} allows {most} viewers on this machine"))
            }
            _ if self.public && !self.consent && viewers.saturating_add(self.elsewhere) > self.ask_above => {
                Err(format!("more than {} viewers of a public address need --yes", self.ask_above))
            }
            _ => Ok(()),
        }
    }

    /// The question before `url` is loaded.
    #[must_use]
    pub fn question(&self, url: &Url, addresses: &[IpAddr]) -> String {
        let host = url.host_str().unwrap_or_default();
        let address = addresses.iter().find(|address| !is_local(**address));
        let address = address.map_or_else(String::new, |address| format!(" ({address})"));
        format!("{} viewers would load {host}{address}, which is a public address", self.whole)
    }

    /// The failure if the user cannot be asked, or answered no.
    #[must_use]
    pub fn refusal(&self, url: &Url, addresses: &[IpAddr]) -> Failure {
        let host = url.host_str().unwrap_or_default();
        Failure::preflight(self.question(url, addresses)).help(format!(
            "if it is yours to load, add --yes or --allow-host {host}; up to {} viewers need neither",
            self.ask_above
        ))
    }
}

fn no_host(list: &str, host: &str) -> Failure {
    Failure::usage(format!("invalid host {host:?} in {list}"))
        .help("name a host or address without scheme and port, or all below a name: *.example.com")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether an address belongs to this machine or a private network (RFC 1918, 3927, 4193, 6598).
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && second & 0b1100_0000 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_policy(typed: &[&str], site: &str, clients: u32) -> Result<TargetPolicy, Failure> {
        let typed: Vec<String> = typed.iter().map(|host| (*host).to_owned()).collect();
        let sites = [("/etc/site.toml".to_owned(), Site::read("/etc/site.toml", site).unwrap())];
        TargetPolicy::new(&typed, &sites, clients, clients, false)
    }

    fn url(host: &str) -> Url {
        Url::parse(&format!("https://{host}/live.m3u8")).unwrap()
    }

    fn asks(target_policy: &TargetPolicy, host: &str, address: &str) -> bool {
        target_policy.asks(&url(host), &[address.parse().unwrap()])
    }

    #[test]
    fn hosts_have_to_be_on_every_list() {
        let target_policy = target_policy(
            &["*.example.com", "other.test", "2001:db8::1"],
            "allow_hosts = ['cdn.example.com']",
            1,
        );
        let target_policy = target_policy.unwrap();
        let admits = |host: &str| target_policy.check_url(&url(host)).is_ok();
        assert!(admits("cdn.example.com") && admits("CDN.Example.com") && admits("cdn.example.com."));
        for host in ["other.test", "a.example.com", "example.com", "cdn.example.com.evil.test"] {
            let failure = target_policy.check_url(&url(host)).unwrap_err();
            assert!(failure.to_string().starts_with(host) && failure.help_text().is_some(), "{failure}");
        }
        for loopback in ["127.0.0.1", "localhost", "[::1]", "127.9.9.9:8080"] {
            assert!(admits(loopback), "{loopback}");
        }
        assert!(!admits("[2001:db8::1]"), "the site's list lacks it");
    }

    #[test]
    fn viewers_obey_the_same_rules() {
        let settings = |typed: &[&str], site: &str, clients: u32| {
            target_policy(typed, site, clients).unwrap().probe_settings()
        };
        assert!(settings(&[], "", 100).is_empty());
        assert_eq!(settings(&[], "", 101), ["local=only"]);
        assert_eq!(
            settings(&["*.example.com", "2001:db8::1"], "allow_hosts = ['cdn.example.com']", 101),
            ["hosts=*.example.com,2001:db8::1", "hosts=cdn.example.com"]
        );
        assert_eq!(settings(&[], "allow_hosts = []", 1), ["hosts=localhost"]);
    }

    #[test]
    fn a_single_page_leads_nowhere_else() {
        let policy = TargetPolicy::same_host(&url("exporter.example"));
        assert!(policy.check_url(&url("exporter.example:9100")).is_ok());
        assert!(policy.check_url(&url("a.exporter.example")).is_err());
    }

    #[test]
    fn invalid_hosts_are_rejected() {
        for host in ["http://a", "a b", "*", "*.com", "a.*.com", "", "a:80"] {
            let failure = target_policy(&[host], "", 1).unwrap_err();
            assert!(failure.to_string().contains(&format!("{host:?}")), "{failure}");
        }
        assert!(Site::read("x.toml", "max_client = 3").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn manual_changes_obey_the_same_limits() {
        let mut target_policy = target_policy(&[], "max_clients = 300", 50).unwrap();
        assert!(
            target_policy.check_manual_change(300).is_ok()
                && target_policy.check_manual_change(301).unwrap_err().contains("300")
        );
        target_policy.reaches_public();
        assert!(
            target_policy.check_manual_change(100).is_ok()
                && target_policy.check_manual_change(101).unwrap_err().contains("--yes")
        );
        target_policy.grant_consent();
        assert!(
            target_policy.check_manual_change(300).is_ok() && target_policy.check_manual_change(301).is_err()
        );
    }

    #[test]
    fn viewers_of_other_shards_count_for_the_confirmation() {
        let mut shard = TargetPolicy::new(&[], &[], 10, 101, false).unwrap();
        assert!(asks(&shard, "cdn.test", "8.8.8.8") && shard.is_closed());
        assert!(shard.question(&url("cdn.test"), &[]).starts_with("101 viewers"));
        shard = TargetPolicy::new(&[], &[], 10, 90, false).unwrap();
        assert!(!asks(&shard, "cdn.test", "8.8.8.8"));
        shard.reaches_public();
        assert!(shard.check_manual_change(20).is_ok() && shard.check_manual_change(21).is_err());
    }

    #[test]
    fn many_viewers_of_a_public_address_need_confirmation() {
        let many = target_policy(&[], "", 101).unwrap();
        assert!(asks(&many, "cdn.test", "93.184.215.14") && asks(&many, "cdn.test", "2606:2800::1"));
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.9.9",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
        ] {
            assert!(!asks(&many, "cdn.test", address), "{address}");
        }
        assert!(asks(&many, "cdn.test", "100.128.0.1") && asks(&many, "cdn.test", "::ffff:8.8.8.8"));
        assert!(!asks(&target_policy(&[], "", 100).unwrap(), "cdn.test", "8.8.8.8"));
        assert!(asks(&target_policy(&[], "ask_above = 5", 6).unwrap(), "cdn.test", "8.8.8.8"));
        assert!(!asks(&target_policy(&["cdn.test"], "", 101).unwrap(), "cdn.test", "8.8.8.8"));
        assert!(!asks(&TargetPolicy::new(&[], &[], 101, 101, true).unwrap(), "cdn.test", "8.8.8.8"));
        let refusal = many.refusal(&url("cdn.test"), &["8.8.8.8".parse().unwrap()]);
        assert_eq!(
            refusal.to_string(),
            "101 viewers would load cdn.test (8.8.8.8), which is a public address"
        );
    }

    #[test]
    fn the_lowest_cap_of_all_files_applies() {
        let sites =
            [3, 2].map(|most| (format!("{most}.toml"), Site { max_clients: Some(most), ..Site::default() }));
        assert!(TargetPolicy::new(&[], &sites, 2, 20, true).is_ok());
        let failure = TargetPolicy::new(&[], &sites, 3, 20, true).unwrap_err();
        assert!(failure.to_string().contains("2.toml allows 2 viewers"), "{failure}");
    }
}
