//! Fixes of files as a unified diff, for `patch -p1 -d /`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::nginx_conf::Directive;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// A change of a file: `lines` take the place of `remove` lines behind line `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Path of the file.
    pub file: String,
    /// Number of the last line before the change; 0 = the top.
    pub after: usize,
    /// Lines taken away.
    pub remove: usize,
    /// Lines put in.
    pub lines: Vec<String>,
}

/// The indentation of line `number` (from 1).
fn indentation(text: &str, number: usize) -> &str {
    let line = text.lines().nth(number.wrapping_sub(1)).unwrap_or_default();
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

/// Puts `lines` at the beginning of a block. None where something stands behind its `{` on the same line.
#[must_use]
pub fn into_block(block: &Directive, lines: &[&str], files: &BTreeMap<String, String>) -> Option<Edit> {
    let text = files.get(&block.file)?;
    let head = text.lines().nth(block.head_line.checked_sub(1)?)?;
    let clean = head.split('#').next()?.trim_end().ends_with('{');
    let indent = format!("{}    ", indentation(text, block.line));
    let lines = lines.iter().map(|line| format!("{indent}{line}")).collect();
    clean.then(|| Edit { file: block.file.clone(), after: block.head_line, remove: 0, lines })
}

/// Puts `lines` in the place of a directive. None where it shares its lines with others.
#[must_use]
pub fn instead(directive: &Directive, lines: &[String], files: &BTreeMap<String, String>) -> Option<Edit> {
    let text = files.get(&directive.file)?;
    let own: Vec<&str> = text
        .lines()
        .skip(directive.line.checked_sub(1)?)
        .take(directive.last_line + 1 - directive.line)
        .collect();
    let first = own.first()?.trim_start();
    let last = own.last()?.split('#').next()?.trim_end();
    let alone =
        first.starts_with(&directive.name) && last.ends_with(';') && own.concat().matches(';').count() == 1;
    let indent = indentation(text, directive.line);
    let lines = lines.iter().map(|line| format!("{indent}{line}")).collect();
    alone.then(|| Edit {
        file: directive.file.clone(),
        after: directive.line - 1,
        remove: directive.last_line + 1 - directive.line,
        lines,
    })
}

/// Edits as a unified diff, file by file; none if there is nothing to do, or a file is not known.
#[must_use]
pub fn render(edits: &[Edit], files: &BTreeMap<String, String>) -> Option<String> {
    let mut by_file: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        by_file.entry(&edit.file).or_default().push(edit);
    }
    let mut text = String::new();
    for (file, mut edits) in by_file {
        edits.sort_by_key(|edit| edit.after);
        // Two findings may ask for the same.
        edits.dedup();
        let name = file.trim_start_matches('/');
        let _ = write!(text, "--- a/{name}\n+++ b/{name}\n");
        hunks(files.get(file)?, &edits, &mut text);
    }
    (!text.is_empty()).then_some(text)
}

fn hunks(original: &str, edits: &[&Edit], out: &mut String) {
    let lines: Vec<&str> = original.lines().collect();
    let mut shift: isize = 0;
    let mut rest = edits;
    while !rest.is_empty() {
        // Changes whose contexts touch share a hunk.
        let together = rest.windows(2).take_while(|pair| match pair {
            [left, right] => right.after <= left.after + left.remove + 2 * CONTEXT,
            _ => false,
        });
        let (hunk, next) = rest.split_at(together.count() + 1);
        rest = next;
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
        let begin = first.after.saturating_sub(CONTEXT);
        let end = (last.after + last.remove + CONTEXT).min(lines.len());
        let mut body = String::new();
        let mut at = begin;
        let (mut old, mut new) = (0_usize, 0_usize);
        let copy = |from: usize, to: usize, mark: char, body: &mut String| {
            for line in lines.get(from..to).unwrap_or_default() {
                let _ = writeln!(body, "{mark}{line}");
            }
            if to == lines.len() && from < to && !original.ends_with('\n') {
                body.push_str("\\ No newline at end of file\n");
            }
            to.saturating_sub(from)
        };
        for edit in hunk {
            let kept = copy(at, edit.after, ' ', &mut body);
            let gone = copy(edit.after, edit.after + edit.remove, '-', &mut body);
            for line in &edit.lines {
                let _ = writeln!(body, "+{line}");
            }
            old += kept + gone;
            new += kept + edit.lines.len();
            at = edit.after + edit.remove;
        }
        let kept = copy(at, end, ' ', &mut body);
        (old, new) = (old + kept, new + kept);
        let old_begin = if old == 0 { begin } else { begin + 1 };
        let new_begin = begin.saturating_add_signed(shift) + usize::from(new > 0);
        let _ = write!(out, "@@ -{old_begin},{old} +{new_begin},{new} @@\n{body}");
        shift += new.cast_signed() - old.cast_signed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::nginx_conf::parse;

    fn files(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("/etc/n.conf".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_diff_of_several_changes() {
        let text = "events {\n    worker_connections 768;\n}\nhttp {\n    a;\n    b;\n    c;\n    d;\n    e;\n    server { x; }\n}\n";
        let files = files(text);
        let tree = parse("/etc/n.conf", text).unwrap();
        let connections = &tree[0].children()[0];
        let edits = [
            into_block(&tree[1], &["f;"], &files).unwrap(),
            instead(connections, &["worker_connections 10000;".into()], &files).unwrap(),
            Edit { file: "/etc/n.conf".into(), after: 0, remove: 0, lines: vec!["top;".into()] },
        ];
        let diff = render(&edits, &files).unwrap();
        assert_eq!(
            diff,
            "--- a/etc/n.conf\n+++ b/etc/n.conf\n@@ -1,7 +1,9 @@\n+top;\n events {\n-    worker_connections 768;\n\
             +    worker_connections 10000;\n }\n http {\n+    f;\n     a;\n     b;\n     c;\n"
        );
        let server = tree[1].children().last().unwrap();
        assert_eq!(into_block(server, &["y;"], &files), None);
        assert_eq!(instead(&server.children()[0], &["y;".into()], &files), None);
    }

    #[test]
    fn changes_far_apart_have_hunks_of_their_own() {
        let text: String = (1..=30).map(|number| format!("line {number};\n")).collect();
        let edit = |after, remove, lines: &[&str]| Edit {
            file: "/etc/n.conf".into(),
            after,
            remove,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let diff = render(&[edit(2, 0, &["a", "b"]), edit(20, 1, &[])], &files(&text)).unwrap();
        let heads: Vec<&str> = diff.lines().filter(|line| line.starts_with("@@")).collect();
        assert_eq!(heads, ["@@ -1,5 +1,7 @@", "@@ -18,7 +20,6 @@"]);
        assert_eq!(render(&[], &files(&text)), None);
    }
}
