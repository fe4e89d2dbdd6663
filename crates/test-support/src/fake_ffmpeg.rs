//! Scripts that answer capability detection as the real FFmpeg does, and misbehave as viewers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A script in its own directory.
pub struct FakeFfmpeg {
    directory: TempDir,
}

/// Shell functions for viewers: `ask` requests the playlist alone; `fetch` requests the playlist of [`crate::stream::endless`] and its new segments;
/// `play N` does so once per second, N times, and reports one second of media each time.
const VERBS: &str = r#"
url=
before=
for word; do
    [ "$before" = -i ] && url=$word
    before=$word
done
ask() {
    curl --silent --noproxy '*' --output /dev/null "$url"
}
newest=0
fetch() {
    for segment in $(curl --silent --noproxy '*' "$url" | grep -v '^#'); do
        number=${segment#s}
        number=${number%.ts}
        [ "$number" -gt $newest ] || continue
        newest=$number
        curl --silent --noproxy '*' --output /dev/null "${url%/*}/$segment"
    done
}
play() {
    n=0
    while [ $n -lt "$1" ]; do
        fetch
        n=$((n + 1))
        echo "out_time_us=${n}000000"
        echo progress=continue
        sleep 1 & wait $!
    done
}
"#;

impl FakeFfmpeg {
    /// Runs the real FFmpeg for capability detection and the probe self-test, and `viewer` (for /bin/sh) for playback,
    /// which the option `-progress` identifies.
    pub fn playing(viewer: &str) -> Self {
        let real = real();
        Self::script(&format!(
            "#!/bin/sh\ncase \" $* \" in\n    *' -progress '*) ;;\n    *) exec {} \"$@\" ;;\nesac\n{VERBS}\n{viewer}\n",
            real.display()
        ))
    }

    /// Runs `body` (for /bin/sh) for all arguments.
    pub fn always(body: &str) -> Self {
        Self::script(&format!("#!/bin/sh\n{body}\n"))
    }

    fn script(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        install(text.as_bytes(), &directory.path().join("ffmpeg"));
        Self { directory }
    }

    pub fn path(&self) -> String {
        self.directory.path().join("ffmpeg").to_str().unwrap().to_owned()
    }

    /// Reads a file that the script wrote beside itself (`$(dirname "$0")/NAME`).
    pub fn notes(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

/// Writes an executable through another process. If this process had the file open for writing, a fork of
/// another test could inherit the descriptor, and the kernel refuses to execute such a file.
#[expect(clippy::disallowed_methods, reason = "waited for two lines below")]
fn install(content: &[u8], path: &Path) {
    let mut install = Command::new("install");
    let mut child =
        install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The path of the real FFmpeg.
pub fn real() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join("ffmpeg")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("ffmpeg is not installed; this test needs it"))
}
