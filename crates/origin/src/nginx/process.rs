//! nginx.conf outside of `http`: the processes and their limits.

use super::Facts;
use crate::profile::derived::Derived;

/// Open files asked for per worker.
const OPEN_FILES_WANTED: u64 = 100_000;
/// Connections per worker at least, as far as the limit of open files allows.
const CONNECTIONS_WANTED: u64 = 10_000;
/// Descriptors a worker needs besides connections and cached files: logs, epoll, channels.
const OTHER_FILES: u64 = 32;

fn open_files(facts: &Facts) -> u64 {
    facts.hard_open_files.min(OPEN_FILES_WANTED)
}

pub(crate) fn process(facts: &Facts) -> String {
    let limit = open_files(facts);
    let note = if limit < OPEN_FILES_WANTED {
        format!(
            "\n# The hard limit of this machine; {OPEN_FILES_WANTED} would be better (ulimit -Hn, LimitNOFILE=)."
        )
    } else {
        String::new()
    };
    let user = match &facts.worker_user {
        Some((user, group)) => format!(
            "# Started by root: the workers give root up. They read segments, they own nothing.\nuser {user} {group};\n"
        ),
        None => String::new(),
    };
    format!(
        "# hls-origin supervises the master; both die together.\n\
         daemon off;\n\
         pid nginx.pid;\n\
         # hls-origin passes complaints on; nothing is written to disk.\n\
         error_log stderr warn;\n\
         {user}\
         # One worker per CPU: serving segments is bound by CPU and memory, never by waiting.\n\
         worker_processes auto;\n\
         # A connection is a descriptor, and the usual soft limit of 1024 ends below 1000 viewers.{note}\n\
         worker_rlimit_nofile {limit};\n\
         # A worker that still serves a slow viewer must not hold up the end.\n\
         worker_shutdown_timeout 2s;\n\n"
    )
}

pub(crate) fn events(derived: &Derived, facts: &Facts) -> String {
    let reserved = OTHER_FILES + u64::from(derived.open_file_cache_max);
    let connections = CONNECTIONS_WANTED.max(open_files(facts) / 2);
    let connections = connections.min(open_files(facts).saturating_sub(reserved)).max(64);
    format!(
        "events {{\n    \
             # At least {CONNECTIONS_WANTED} per worker where the limit of open files, less cached files, allows.\n    \
             worker_connections {connections};\n    \
             # A ramp opens many connections at once: take all that wait.\n    \
             multi_accept on;\n\
         }}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::Build;
    use crate::profile;
    use crate::profile::stream::Stream;

    #[test]
    fn connections_and_cached_files_fit_into_the_limit() {
        let profile = profile::parse("default", profile::built_in("default").unwrap()).unwrap();
        let derived = Derived::of(&Stream::of(&profile).unwrap());
        for hard in [1024, 4096, 20_000, 1 << 20] {
            let facts = Facts {
                hard_open_files: hard,
                worker_user: None,
                in_memory: true,
                behind_front: false,
                build: Build::default(),
            };
            let text = events(&derived, &facts);
            let number = text.split("worker_connections ").nth(1).unwrap().split(';').next().unwrap();
            let connections: u64 = number.parse().unwrap();
            assert!(connections < hard, "{connections} of {hard}");
            assert!(hard < 20_000 || connections >= 10_000, "{connections} of {hard}");
        }
    }
}
