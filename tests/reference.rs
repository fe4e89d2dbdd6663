//! The reference pages agree with the programs, and manual pages and completions are complete.

use std::path::Path;
use std::process::Command;

use hls_swarm::reference;

#[test]
fn the_pages_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let update = std::env::var_os("UPDATE_REFERENCE").is_some_and(|value| !value.is_empty());
    for (name, text) in reference::pages() {
        let file = folder.join(name);
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let differs = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
        assert!(
            kept == text,
            "docs/reference/{name} does not agree with the program; rewrite it with `make reference` \
             (UPDATE_REFERENCE=1 cargo test --test integration reference). First difference: {differs:?}"
        );
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env_clear().output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_programs_have_manual_pages_and_completions() {
    for program in [env!("CARGO_BIN_EXE_hls-swarm"), env!("CARGO_BIN_EXE_hls-origin")] {
        let name = Path::new(program).file_name().unwrap().to_str().unwrap();
        let page = said(program, &["man"]);
        assert!(page.contains(&format!(".TH {name} 1")) && page.contains("\\-\\-profile"), "{page}");
        for section in ["SYNOPSIS", "EXAMPLES", "FILES", "ENVIRONMENT", "\"EXIT STATUS\""] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}: {page}");
        }
        for shell in ["bash", "zsh", "fish"] {
            let text = said(program, &["completions", shell]);
            assert!(text.contains(name) && text.contains("profile"), "{shell}: {text}");
            assert!(text.contains("health") && text.contains("config"), "{shell}: {text}");
        }
    }
    let swarm = env!("CARGO_BIN_EXE_hls-swarm");
    let page = said(swarm, &["man", "report"]);
    assert!(page.contains(".TH hls-swarm-report 1") && page.contains("hls\\-swarm report compare"), "{page}");
    let page = said(swarm, &["man", "config", "show"]);
    assert!(
        page.contains(".TH hls-swarm-config-show 1") && page.contains("HLS_SWARM_CLIENTS, CLIENTS"),
        "{page}"
    );
}
