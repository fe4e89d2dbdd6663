//! What viewers may do: they read what servers send, so they get few rights, little memory, and no secrets of others.

use std::path::Path;

use hls_swarm_base::error::Failure;
use hls_swarm_os::process::{Account, Confinement};

use crate::cli::run::ViewerArgs;

/// The variables that every viewer gets: how programs find their files and libraries, talk to the user, use proxies,
/// and trust certificates. Nothing else of the environment is their business, tokens of a CI least of all.
const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOCPATH",
    "GCONV_PATH",
    "MALLOC_*",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_*",
    "OPENSSL_*",
    "GNUTLS_*",
    "FFREPORT",
    "AV_*",
];
/// Those that other players need as well: plug-ins, and where video and audio go.
const OF_PLAYERS: &[&str] = &[
    "XDG_*",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GST_*",
    "GIO_*",
    "LIBVA_*",
    "VDPAU_*",
    "VLC_*",
    "MPV_*",
    "PULSE_*",
    "ALSA_*",
    "SDL_*",
    "QT_*",
    "PYTHON*",
];
/// Memory that a viewer may allocate where none is given, MiB: fifty times what one needs.
pub(crate) const DEFAULT_MEMORY_MIB: u32 = 1024;

/// Resolves the rights of viewers.
///
/// # Errors
/// A usage failure: there is no such user.
pub(crate) fn resolve(args: &ViewerArgs) -> Result<Confinement, Failure> {
    let players = args.player.as_ref().map_or(&[][..], |_| OF_PLAYERS);
    let named = VARIABLES.iter().chain(players).map(|name| (*name).to_owned());
    let memory = u64::from(args.viewer_memory) << 20;
    Ok(Confinement {
        variables: named.chain(args.viewer_env.iter().cloned()).collect(),
        memory_bytes: Some(memory).filter(|bytes| *bytes > 0),
        user: args.viewer_user.as_deref().map(|name| Account::find("--viewer-user", name)).transpose()?,
    })
}

/// Checks that this process may start viewers as the user of `confinement`.
///
/// # Errors
/// A usage failure: only root may.
pub(crate) fn check(confinement: &Confinement, is_root: bool) -> Result<(), Failure> {
    if confinement.user.is_none() || is_root {
        return Ok(());
    }
    Err(Failure::usage("--viewer-user: only root can run viewers as another user").help("leave it out"))
}

/// The warning if viewers run as root.
#[must_use]
pub(crate) fn as_root(confinement: &Confinement, is_root: bool) -> Option<&'static str> {
    let reason = "viewers run as root: a flaw in the player would give a server all rights on this machine; run \
                  hls-swarm as another user, or pass --viewer-user";
    (is_root && confinement.user.is_none() && !is_container()).then_some(reason)
}

/// Whether this looks like a container, where root has few rights and often is the only user.
fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_get_the_variables_that_are_named_and_a_limit() {
        let mut args = ViewerArgs { viewer_env: vec!["MY_*".to_owned()], ..ViewerArgs::default() };
        let confinement = resolve(&args).unwrap();
        let has = |confinement: &Confinement, name: &str| confinement.variables.iter().any(|one| one == name);
        assert!(has(&confinement, "PATH") && has(&confinement, "MY_*") && !has(&confinement, "DISPLAY"));
        assert_eq!(confinement.memory_bytes, Some(1 << 30));
        args.player = Some("mpv {url}".to_owned());
        args.viewer_memory = 0;
        let confinement = resolve(&args).unwrap();
        assert!(has(&confinement, "DISPLAY"));
        assert_eq!((confinement.memory_bytes, confinement.user), (None, None));
        args.viewer_user = Some("no-such-user-of-the-test".to_owned());
        assert!(resolve(&args).unwrap_err().to_string().contains("--viewer-user no-such-user-of-the-test"));
    }

    #[test]
    fn root_is_warned_unless_viewers_are_not() {
        let root = Confinement::default();
        let other =
            Confinement { user: Some(Account { user: 65_534, group: 65_534 }), ..Confinement::default() };
        assert_eq!((as_root(&root, false), as_root(&other, true)), (None, None));
        assert_eq!(as_root(&root, true).is_some(), !is_container());
    }
}
