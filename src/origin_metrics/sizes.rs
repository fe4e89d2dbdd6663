//! Segment sizes as the origin publishes them: nginx's `autoindex_format json`.

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    name: Box<str>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    size: Option<u64>,
}

/// File endings of media; playlists change their size while they are read.
const MEDIA: [&str; 7] = [".ts", ".m4s", ".mp4", ".m4a", ".m4v", ".aac", ".vtt"];

/// Names and sizes in bytes.
///
/// # Errors
/// The text is no such list.
pub fn read(text: &str) -> Result<Vec<(Box<str>, u64)>, String> {
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| format!("it is no list of files: {error}"))?;
    let file = |entry: &Entry| entry.kind.as_deref().is_none_or(|kind| kind == "file");
    let media = |entry: &Entry| MEDIA.iter().any(|ending| entry.name.ends_with(ending));
    let known = entries.into_iter().filter(|entry| file(entry) && media(entry));
    Ok(known.filter_map(|entry| Some((entry.name, entry.size?))).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn media_files_with_a_size_are_kept() {
        let text = r#"[
            { "name":"old", "type":"directory", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT" },
            { "name":"seg00001.ts", "type":"file", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT", "size":1281032 },
            { "name":"stream.m3u8", "type":"file", "mtime":"Sat, 21 Nov 2026 10:00:00 GMT", "size":412 },
            { "name":"seg1.m4s", "size":7 }
        ]"#;
        let read = super::read(text).unwrap();
        assert_eq!(read, [("seg00001.ts".into(), 1_281_032), ("seg1.m4s".into(), 7)]);
        assert!(super::read("<html>").unwrap_err().contains("no list of files"));
    }
}
