//! `hls-swarm config`: it shows the settings that a run would use, and names invalid ones.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_clear().output().unwrap()
}

fn swarm(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_hls-swarm"), arguments)
}

fn origin(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_hls-origin"), arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(arguments: &[&str]) -> Value {
    let output = swarm(&[&["config", "show", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn flags_override_the_profile_and_limits_follow() {
    let shown = shown(&["--profile", "gentle", "-clients", "500", "-reconnect=false"]);
    let settings = &shown["settings"];
    assert_eq!((&settings["clients"], &settings["ramp_rate"]), (&500.into(), &1.0.into()));
    assert_eq!((&settings["reconnect"], &settings["timeout"]), (&false.into(), &"30s".into()));
    assert_eq!(shown["profile"], "gentle");
    assert_eq!(shown["derived"]["open_files"], 10_100);
    assert_eq!(shown["derived"]["ramp_seconds"], 499.5);
}

#[test]
fn the_text_output_is_a_valid_profile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.toml");
    let output = swarm(&["config", "show", "--profile", "extreme"]);
    assert!(text(&output.stdout).contains("\n#   open_files = 10100\n"), "{}", text(&output.stdout));
    std::fs::write(&file, &output.stdout).unwrap();
    let name = file.to_str().unwrap();
    let checked = swarm(&["config", "check", name]);
    assert_eq!(text(&checked.stdout), format!("{name}: valid: 500 viewers, 10100 open files\n"));
    assert_eq!(shown(&["--profile", name])["settings"], shown(&["--profile", "extreme"])["settings"]);
}

#[test]
fn the_ports_are_those_of_the_network_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vms/network.toml");
    let network: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let metrics = network["metrics_port"].as_integer().unwrap();
    assert_eq!(shown(&[])["settings"]["metrics"], format!("0.0.0.0:{metrics}"));
    let output = origin(&["config", "show", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["settings"]["serve"]["port"], network["stream_port"].as_integer().unwrap());
}

#[test]
fn an_invalid_profile_is_named_with_its_file_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("bad.toml");
    let name = name.to_str().unwrap();
    for (content, said, help) in [
        (
            "clients = 3\nramp_rat = 2\n",
            "bad.toml, line 2: unknown field `ramp_rat`",
            "did you mean `ramp_rate`?",
        ),
        ("clients = \"many\"\n", "bad.toml, line 1: invalid type: string \"many\"", "compare with"),
        (
            "clients = 0\n",
            "bad.toml: invalid value \"0\" for --clients: the number of viewers is out of range",
            "from 1 to",
        ),
        ("timeout = \"3 parsecs\"\n", "unknown unit", "compare with"),
        ("thresholds = [\"speed>fast\"]\n", "\"speed>fast\" for --threshold", "write a number"),
        ("metrics = \"99999\"\n", "invalid value \"99999\" for --metrics", "0 to 65535"),
        ("log_level = \"loud\"\n", "bad.toml: invalid value \"loud\" for --log-level", "pass error"),
        ("url = \"rtmp://a/b\"\n", "unsupported scheme rtmp://", "http://"),
        ("clients = \n", "bad.toml, line 1:", "compare with"),
    ] {
        std::fs::write(name, content).unwrap();
        let output = swarm(&["config", "check", name]);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{content}: {complaint}");
        assert!(complaint.contains(said), "{content}: {complaint}");
        assert!(complaint.contains(help), "{content}: {complaint}");
    }
    let output = swarm(&["config", "check", "no/such.toml"]);
    assert!(text(&output.stderr).contains("no/such.toml: cannot be read"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_origin_shows_and_checks_its_profiles_too() {
    let output = origin(&["config", "show", "--profile", "low-latency", "--segment-seconds", "3"]);
    let shown = text(&output.stdout);
    assert!(shown.starts_with("segment_seconds = 3\n"), "{shown}");
    assert!(shown.contains("\n#   gop_frames = 90\n"), "{shown}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("origin.toml");
    let name = file.to_str().unwrap();
    std::fs::write(name, &shown).unwrap();
    let checked = text(&origin(&["config", "check", name]).stdout);
    assert!(checked.starts_with(&format!("{name}: valid: 1 variant, ")), "{checked}");

    for (content, said) in [
        ("segment_secs = 2\n", "line 1: unknown field `segment_secs`"),
        ("segment_seconds = 0\n", "origin.toml: invalid segment-seconds 0: out of range"),
        ("[video]\nsize = \"big\"\n", "origin.toml: invalid video size \"big\": expected WIDTHxHEIGHT"),
        ("[serve]\nport = 70000\n", "line 2"),
    ] {
        std::fs::write(name, content).unwrap();
        let output = origin(&["config", "check", name]);
        assert_eq!(output.status.code(), Some(2), "{content}");
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn secret_headers_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    let name = file.to_str().unwrap();
    let url = "http://127.0.0.1:9/stream.m3u8";
    std::fs::write(name, "# the CDN's\n\nAuthorization: Bearer hush\n").unwrap();
    for command in [vec!["--dry-run"], vec!["config", "show"], vec!["config", "show", "--json"]] {
        let output = swarm(&[command, vec!["--header-file", name, url]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains(name) && !said.contains("hush"), "{said}");
    }
    std::fs::write(name, "Authorization Bearer hush\n").unwrap();
    let said = text(&swarm(&["--header-file", name, url]).stderr);
    assert!(
        said.contains("invalid header 1 in --header-file: it has no colon") && !said.contains("hush"),
        "{said}"
    );
    let said = text(&swarm(&["--header-file", "no/such", url]).stderr);
    assert!(said.contains("--header-file no/such: cannot be read"), "{said}");
}

/// Printing is the purpose of these commands, so `> file` on a full disk must not look like success.
#[test]
fn commands_that_print_fail_on_a_full_disk() {
    let url = "http://127.0.0.1:1/a.m3u8";
    for words in [
        &["--dry-run", url][..],
        &["config", "show", url],
        &["man"],
        &["completions", "bash"],
        &["monitoring", "rules"],
        &["plan", "--clients", "1000"],
        &["tune", "show", "--format", "json"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
        let output = command.args(words).stdout(full).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(
            said.contains("cannot write to standard output: No space left") && said.contains("help: "),
            "{said}"
        );
    }
}

/// The schema that a program prints, ready to check values.
fn schema(program: fn(&[&str]) -> Output, kind: &[&str]) -> jsonschema::Validator {
    let output = program(&[&["config", "schema"], kind].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn toml(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn every_file_that_comes_with_the_programs_matches_its_schema() {
    let run = schema(swarm, &[]);
    let schemas = [
        ("swarm", run.clone()),
        ("scenario", run),
        ("impairment", schema(swarm, &["impairment"])),
        ("origin", schema(origin, &[])),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut folders: Vec<String> = std::fs::read_dir(&root)
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            entry.file_type().unwrap().is_dir().then(|| entry.file_name().into_string().unwrap())
        })
        .collect();
    folders.sort();
    // Users do not write files of sysctl values.
    assert_eq!(folders, ["impairment", "origin", "scenario", "swarm", "sysctl"]);
    for (folder, schema) in schemas {
        let mut files = 0;
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let file = toml(&std::fs::read_to_string(&path).unwrap());
            if let Err(error) = schema.validate(&file) {
                panic!("{}: {}: {error}", path.display(), error.instance_path());
            }
            files += 1;
        }
        assert!(files > 3, "{folder}");
    }
}

#[test]
fn what_the_programs_refuse_does_not_match_a_schema() {
    let run = schema(swarm, &[]);
    let same = |file: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        std::fs::write(&path, file).unwrap();
        let accepted = swarm(&["config", "check", path.to_str().unwrap()]).status.success();
        assert_eq!(run.is_valid(&toml(file)), accepted, "{file}");
        accepted
    };
    assert!(same("clients = 3\nduration = \"1h30m\"\nvariant = \"720p\"\nprobe = \"off\""));
    assert!(same("[[stage]]\nduration = \"1m\"\nclients = 3\nname = \"evening\""));
    assert!(same("[[stream]]\nurl = \"http://a.example/x.m3u8\"\nweight = 2"));
    for wrong in [
        "client = 3",
        "clients = \"3\"",
        "clients = -1",
        "duration = \"5 minutes\"",
        "duration = 5",
        "probe = \"maybe\"",
        "[[stage]]\nclients = 3",
        "[[stage]]\nduration = \"1m\"\nclients = 3\ntitle = \"evening\"",
    ] {
        assert!(!same(wrong), "{wrong}");
    }
    let origin = schema(origin, &[]);
    assert!(origin.is_valid(&toml("segment_seconds = 4\n[metrics]\nnode_port = \"off\"")));
    for wrong in
        ["segment_second = 4", "format = \"mov\"", "[serve]\nports = 1", "[metrics]\nnode_port = \"on\""]
    {
        assert!(!origin.is_valid(&toml(wrong)), "{wrong}");
    }
}
