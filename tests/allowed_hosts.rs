//! The hosts that viewers may connect to, while they play: what a redirect or a playlist names obeys the allow-list,
//! and secret headers stay with the origin that they were given for. Strangers are addresses of RFC 5737, in a
//! network namespace of the test.

use std::net::Ipv4Addr;
use std::time::Duration;

use hls_swarm_probe::record::{NETWORK_ENVIRONMENT, forbidden, kind};
use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::stream::vod;
use hls_swarm_test_support::swarm::{Outcome, Swarm};

use crate::probe::watched::{Run, run};

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

fn curl(settings: &str, arguments: &[&str]) -> Run {
    let mut curl = program("curl");
    curl.args(["--silent", "--noproxy", "*", "--max-time", "15", "-o", "/dev/null"]);
    run(curl.args(arguments).env(NETWORK_ENVIRONMENT, settings))
}

fn refusals(run: &Run) -> Vec<(u16, String, u16)> {
    let one = |record: &hls_swarm_probe::record::Record| {
        (record.error, String::from_utf8_lossy(record.name()).into_owned(), record.peer_port)
    };
    run.of(kind::FORBIDDEN).iter().map(one).collect()
}

#[test]
fn a_name_that_is_not_listed_is_not_looked_up() {
    let server = Server::start(|_, _| Answer::ok("video/mp2t", b"x"));
    let port = server.port;
    let settings = |hosts: &str| {
        format!(
            "hosts={hosts} resolve=own.test/0/127.0.0.1 resolve=a.below.test/0/127.0.0.1 resolve=below.test/0/127.0.0.1"
        )
    };
    for name in ["own.test", "OWN.test", "a.below.test", "127.0.0.1"] {
        let run = curl(&settings("own.test,*.below.test"), &[&format!("http://{name}:{port}/{name}")]);
        assert!(run.output.status.success() && refusals(&run).is_empty(), "{name}: {:?}", run.output);
    }
    for name in ["below.test", "own.test.evil.test"] {
        let run = curl(&settings("own.test,*.below.test"), &[&format!("http://{name}:{port}/{name}")]);
        assert!(!run.output.status.success(), "{name}");
        assert_eq!(refusals(&run), [(forbidden::HOSTS, name.to_owned(), 0)]);
    }
    // A host has to be on every list.
    let both = format!("{} hosts=other.test", settings("own.test"));
    assert!(!curl(&both, &[&format!("http://own.test:{port}/")]).output.status.success());
    assert_eq!(server.served().len(), 4);
}

#[test]
fn another_port_is_another_origin() {
    let other = Server::start(|_, _| Answer::ok("video/mp2t", b"x"));
    let target = other.url("/x");
    let first = Server::start(move |_, _| {
        Answer::new(
            format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"),
            Then::Keep,
        )
    });
    let settings = format!("origins=127.0.0.1/{}", first.port);
    let run = curl(&settings, &["--location", &first.url("/x")]);
    assert_eq!(run.output.status.code(), Some(7), "curl's code for a refused connection");
    assert_eq!(refusals(&run), [(forbidden::ORIGINS, String::new(), other.port)]);
    assert!(run.of(kind::CONNECT_FAILED).is_empty(), "it is counted once");
    let run = curl("origins=127.0.0.1/0", &["--location", &first.url("/x")]);
    assert!(run.output.status.success());
    assert_eq!((first.served().len(), other.served().len()), (2, 1));
}

/// Serves a VOD of six seconds, of which the last three segments are elsewhere.
fn leading_to(address: Ipv4Addr, elsewhere: String) -> Server {
    let folder = tempfile::tempdir().unwrap();
    vod(folder.path(), 6);
    Server::start_at(address, move |target, _| {
        let name = target.rsplit('/').next().unwrap();
        if ["vod3.ts", "vod4.ts", "vod5.ts"].contains(&name) {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}/{name}\r\nContent-Length: 0\r\n\r\n");
            return Answer::new(head, Then::Keep);
        }
        let kind = if name.ends_with(".m3u8") { PLAYLIST } else { "video/mp2t" };
        Answer::ok(kind, &std::fs::read(folder.path().join("www").join(name)).unwrap())
    })
}

#[test]
fn secret_headers_stay_with_their_origin() {
    let run = |header: &str, more: &[&str]| {
        let other = Server::start(|_, _| Answer::ok("video/mp2t", b"x"));
        let first = leading_to(Ipv4Addr::LOCALHOST, other.url(""));
        let url = first.url("/vod.m3u8");
        let arguments = ["--clients", "2", "--duration", "5s", "--header", header, &url];
        let outcome = Swarm::new(&[&arguments[..], more].concat()).env("TOK", "tok3n-for-the-test").run();
        assert!(first.served().iter().all(|served| served.head.contains("oken:")), "the origin gets it");
        (outcome, other.served())
    };
    let (outcome, leaked) = run("X-Token: {env:TOK}", &[]);
    assert!(leaked.is_empty(), "{leaked:?}");
    led_astray(&outcome, "is not among the hosts that may receive the secret headers");
    let (outcome, sent) = run("X-Token: {env:TOK}", &["--header-hosts", "127.0.0.1"]);
    assert!(sent.iter().all(|served| served.head.contains("tok3n-for-the-test")) && !sent.is_empty());
    assert_eq!(outcome.report["forbidden_connections"], 0, "{}", outcome.report);
}

fn led_astray(outcome: &Outcome, why: &str) {
    // True even on a machine that is too busy for other figures.
    assert_eq!((outcome.code(), &outcome.report["verdict"]), (4, &"fail".into()), "{}", outcome.stdout);
    assert!(outcome.number("/forbidden_connections") > 0.0, "{}", outcome.report);
    let criteria = outcome.report["criteria"].as_array().unwrap();
    let hosts = criteria.iter().find(|criterion| criterion["name"] == "allowed_hosts").unwrap();
    assert_eq!(hosts["met"], false);
    assert!(outcome.said().contains(why), "no {why:?} in {}", outcome.stdout);
}

#[test]
fn viewers_cannot_be_led_to_strangers() {
    let mut unshare = program("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script =
        "ip link set lo up; ip addr add 10.77.0.1/32 dev lo; ip addr add 203.0.113.5/32 dev lo; exec \"$@\"";
    unshare.args(["--net", "sh", "-ec", script, "sh"]).arg(std::env::current_exe().unwrap());
    unshare.args(["--ignored", "--exact", "allowed_hosts::in_a_namespace", "--test-threads=1"]);
    let output = unshare.env("ALLOWED_HOSTS_NAMESPACE", "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

/// Not a test by itself: what [`viewers_cannot_be_led_to_strangers`] starts.
#[test]
#[ignore = "needs the network namespace that another test makes"]
fn in_a_namespace() {
    if std::env::var_os("ALLOWED_HOSTS_NAMESPACE").is_none() {
        return;
    }
    let run = |arguments: &[&str]| {
        let stranger = Server::start_at(STRANGER, |_, _| Answer::ok("video/mp2t", b"x"));
        let own = leading_to(OWN, stranger.url(""));
        let url = own.url("/vod.m3u8");
        let common = ["--clients", "2", "--ramp-rate", "50", "--duration", "8s", "--error-storm", "off"];
        let outcome = Swarm::new(&[&common[..], arguments, &[url.as_str()]].concat()).run();
        drop(own);
        (outcome, stranger.served().len())
    };
    // Without a limit, viewers follow.
    let (_, followed) = run(&[]);
    assert!(followed > 0, "the stream leads to the stranger");

    let (outcome, followed) = run(&["--allow-host", "10.77.0.1"]);
    assert_eq!(followed, 0, "no connection reaches the stranger");
    led_astray(&outcome, "203.0.113.5:");
    assert!(outcome.number("/viewers/played") > 0.0, "{}", outcome.report);

    // Public addresses need a confirmation, wherever they are named.
    let (outcome, followed) = run(&["--shard", "1/60", "--clients", "120"]);
    assert_eq!(followed, 0);
    led_astray(&outcome, "is a public address, and the load was not confirmed");

    // Without the probe, the first foreign host ends the run.
    let (outcome, _) = run(&["--probe", "off", "--allow-host", "10.77.0.1", "--duration", "60s"]);
    led_astray(&outcome, "203.0.113.5:");
    assert!(outcome.elapsed < Duration::from_secs(30), "{:?}", outcome.elapsed);
    assert_eq!(outcome.report["end_reason"], "a viewer connected to a host that is not allowed");
}
