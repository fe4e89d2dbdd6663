//! Changes of files as a unified diff, for `patch -p1 -d /`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::facts::Facts;
use super::gather::nginx::real_name;
use super::nginx_conf::{Configuration, Directive};

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// A change of a file: `lines` replace `remove` lines after line `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Name under which the file is included.
    pub(crate) file: String,
    /// Number of the last line before the change; 0 = the top.
    pub(crate) after: usize,
    /// Number of removed lines.
    pub(crate) remove: usize,
    /// New lines.
    pub(crate) lines: Vec<String>,
}

/// Returns the indentation of line `number`, from 1.
fn indentation(text: &str, number: usize) -> &str {
    let line = text.lines().nth(number.wrapping_sub(1)).unwrap_or_default();
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

/// Inserts `lines` at the beginning of a block. `None` where something follows its `{` on the same line.
pub(crate) fn into_block(
    block: &Directive,
    lines: &[&str],
    files: &BTreeMap<String, String>,
) -> Option<Edit> {
    let text = files.get(&block.file)?;
    let head = text.lines().nth(block.head_line.checked_sub(1)?)?;
    let clean = head.split('#').next()?.trim_end().ends_with('{');
    let indent = format!("{}    ", indentation(text, block.line));
    let lines = lines.iter().map(|line| format!("{indent}{line}")).collect();
    clean.then(|| Edit { file: block.file.clone(), after: block.head_line, remove: 0, lines })
}

/// Inserts `line` at the end of a block. `None` where its `}` shares a line with something else.
pub(crate) fn at_end_of_block(
    block: &Directive,
    line: &str,
    files: &BTreeMap<String, String>,
) -> Option<Edit> {
    let text = files.get(&block.file)?;
    let closing = text.lines().nth(block.last_line.checked_sub(1)?)?;
    (closing.trim_start().starts_with('}') && block.last_line > block.head_line).then(|| Edit {
        file: block.file.clone(),
        after: block.last_line - 1,
        remove: 0,
        lines: vec![format!("{}    {line}", indentation(text, block.last_line))],
    })
}

/// Inserts lines before a directive of the main file. `None` where it does not begin its line.
pub(crate) fn before(
    directive: &Directive,
    lines: &[String],
    files: &BTreeMap<String, String>,
) -> Option<Edit> {
    let text = files.get(&directive.file)?;
    let own = text.lines().nth(directive.line.checked_sub(1)?)?;
    own.trim_start().starts_with(&directive.name).then(|| Edit {
        file: directive.file.clone(),
        after: directive.line - 1,
        remove: 0,
        lines: lines.iter().map(|line| format!("{}{line}", indentation(text, directive.line))).collect(),
    })
}

/// Inserts a line after a directive. `None` where its `;` does not end its line.
pub(crate) fn after(directive: &Directive, line: &str, files: &BTreeMap<String, String>) -> Option<Edit> {
    let text = files.get(&directive.file)?;
    let own = text.lines().nth(directive.last_line.checked_sub(1)?)?;
    own.split('#').next()?.trim_end().ends_with(';').then(|| Edit {
        file: directive.file.clone(),
        after: directive.last_line,
        remove: 0,
        lines: vec![format!("{}{line}", indentation(text, directive.line))],
    })
}

/// Replaces a directive with `lines`. `None` where it shares its lines with others or with a comment.
pub(crate) fn replace(
    directive: &Directive,
    lines: &[String],
    files: &BTreeMap<String, String>,
) -> Option<Edit> {
    let text = files.get(&directive.file)?;
    let own: Vec<&str> = text
        .lines()
        .skip(directive.line.checked_sub(1)?)
        .take(directive.last_line + 1 - directive.line)
        .collect();
    let first = own.first()?.trim_start();
    let last = own.last()?.trim_end();
    let alone = first.starts_with(&directive.name)
        && last.ends_with(';')
        && own.concat().matches(';').count() == 1
        && !own.concat().contains('#');
    let indent = indentation(text, directive.line);
    let lines = lines.iter().map(|line| format!("{indent}{line}")).collect();
    alone.then(|| Edit {
        file: directive.file.clone(),
        after: directive.line - 1,
        remove: directive.last_line + 1 - directive.line,
        lines,
    })
}

/// Renders edits as a unified diff of the real files, because `patch` refuses to follow symbolic links.
/// `None` without edits, or where a file is unknown.
pub(crate) fn render(edits: &[Edit], configuration: &Configuration) -> Option<String> {
    let mut by_file: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        by_file.entry(real_name(&configuration.real_paths, &edit.file)).or_default().push(edit);
    }
    let mut text = String::new();
    for (file, mut edits) in by_file {
        edits.sort_by_key(|edit| (edit.after, edit.remove));
        // Two findings may ask for the same, and a file may be included twice.
        edits.dedup_by(|left, right| {
            (left.after, left.remove, &left.lines) == (right.after, right.remove, &right.lines)
        });
        let original = configuration.files.get(&edits.first()?.file)?;
        let name = file.trim_start_matches('/');
        // A tab ends a name with blanks.
        let end = if name.contains(' ') { "\t" } else { "" };
        let _ = write!(text, "--- a/{name}{end}\n+++ b/{name}{end}\n");
        hunks(original, &edits, &mut text);
    }
    (!text.is_empty()).then_some(text)
}

/// Renders a shell script that applies a patch, restores the files if nginx refuses the result, and
/// otherwise reloads the running nginx; `commands` follow as comments.
pub(crate) fn script(patch: &str, facts: &Facts, commands: &[String]) -> String {
    let main = shell_quote(&facts.configuration.main);
    let reload = match facts.processes.first() {
        Some(master) => format!("kill -HUP {}   # reload", master.pid),
        None => "echo 'the files are changed; now reload nginx: nginx -s reload'".to_owned(),
    };
    // Files of another mount namespace are reached, and tested, through its process.
    let (root, enter) = facts.mount_namespace.map_or_else(
        || ("/".to_owned(), String::new()),
        |pid| (format!("/proc/{pid}/root"), format!("nsenter -t {pid} -a ")),
    );
    let mut text = format!(
        "#!/bin/sh\n\
         # Written by `hls-swarm audit`: the fixes that change no response. Run it as root. If nginx refuses the\n\
         # result, the files are restored.\n\
         set -eu\n\
         patch=$(mktemp)\n\
         trap 'rm -f \"$patch\"' EXIT\n\
         cat >\"$patch\" <<'END_OF_PATCH'\n{patch}END_OF_PATCH\n\
         patch --dry-run -N -s -p1 -d {root} -i \"$patch\"\n\
         patch -s -p1 -d {root} -r - -i \"$patch\"\n\
         if ! {enter}\"${{NGINX:-nginx}}\" -t -c {main}; then\n    \
             patch -R -s -p1 -d {root} -r - -i \"$patch\"\n    \
             echo 'nginx refuses the result; the files are restored' >&2\n    \
             exit 1\n\
         fi\n\
         {reload}\n"
    );
    if !commands.is_empty() {
        text.push_str("\n# Other fixes, in the order of work; read the audit before you run them:\n");
    }
    for line in commands.iter().flat_map(|command| command.lines()) {
        let _ = writeln!(text, "# {line}");
    }
    text
}

/// Quotes a word for a shell.
pub(crate) fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the edits that are safe: of a file that is included once, because an edit is meant for one place,
/// and whose text was read without loss.
pub(crate) fn safe(edits: Vec<Edit>, configuration: &Configuration) -> Vec<Edit> {
    let safe = |edit: &Edit| {
        let real = real_name(&configuration.real_paths, &edit.file);
        let text = configuration.files.get(&edit.file);
        configuration.inclusions.get(real).is_none_or(|times| *times == 1)
            && text.is_some_and(|text| !text.contains(char::REPLACEMENT_CHARACTER))
    };
    edits.into_iter().filter(safe).collect()
}

/// Splits a text into lines without `\n`; a `\r` stays.
fn split_lines(text: &str) -> Vec<&str> {
    text.split_terminator('\n').collect()
}

fn hunks(original: &str, edits: &[&Edit], out: &mut String) {
    let lines = split_lines(original);
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
            // New lines end like the line before them, or after them.
            let neighbor = lines.get(edit.after.saturating_sub(1));
            let end = if neighbor.is_some_and(|line| line.ends_with('\r')) { "\r" } else { "" };
            for line in &edit.lines {
                let _ = writeln!(body, "+{line}{end}");
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

    fn configuration(text: &str) -> Configuration {
        Configuration {
            files: [("/etc/n.conf".to_owned(), text.to_owned())].into(),
            ..Configuration::default()
        }
    }

    fn edit(after: usize, remove: usize, lines: &[&str]) -> Edit {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Edit { file: "/etc/n.conf".into(), after, remove, lines }
    }

    #[test]
    fn changes_that_are_close_share_a_hunk() {
        let text = "events {\n    worker_connections 768;\n}\nhttp {\n    a;\n    b;\n    c;\n    d;\n    e;\n    server { x; }\n}\n";
        let configuration = configuration(text);
        let files = &configuration.files;
        let tree = parse("/etc/n.conf", text).unwrap();
        let connections = &tree[0].children()[0];
        let edits = [
            into_block(&tree[1], &["f;"], files).unwrap(),
            replace(connections, &["worker_connections 10000;".into()], files).unwrap(),
            edit(0, 0, &["top;"]),
        ];
        let diff = render(&edits, &configuration).unwrap();
        assert_eq!(
            diff,
            "--- a/etc/n.conf\n+++ b/etc/n.conf\n@@ -1,7 +1,9 @@\n+top;\n events {\n-    worker_connections 768;\n\
             +    worker_connections 10000;\n }\n http {\n+    f;\n     a;\n     b;\n     c;\n"
        );
        let server = tree[1].children().last().unwrap();
        assert_eq!(into_block(server, &["y;"], files), None);
        assert_eq!(replace(&server.children()[0], &["y;".into()], files), None);
        assert_eq!(at_end_of_block(server, "y;", files), None);
        assert_eq!(at_end_of_block(&tree[1], "y;", files).unwrap().after, 10);
        assert_eq!(after(&tree[1].children()[0], "y;", files).unwrap().after, 5);
    }

    #[test]
    fn changes_far_apart_have_their_own_hunks() {
        let text: String = (1..=30).map(|number| format!("line {number};\n")).collect();
        let configuration = configuration(&text);
        let diff = render(&[edit(2, 0, &["a", "b"]), edit(20, 1, &[])], &configuration).unwrap();
        let heads: Vec<&str> = diff.lines().filter(|line| line.starts_with("@@")).collect();
        assert_eq!(heads, ["@@ -1,5 +1,7 @@", "@@ -18,7 +20,6 @@"]);
        assert_eq!(render(&[], &configuration), None);
    }

    #[test]
    fn files_that_are_included_twice_or_not_readable_as_text_are_left_alone() {
        let mut configuration = configuration("a;\n");
        assert_eq!(safe(vec![edit(1, 0, &["x;"])], &configuration).len(), 1);
        configuration.inclusions.insert("/etc/n.conf".into(), 2);
        assert!(safe(vec![edit(1, 0, &["x;"])], &configuration).is_empty());
        configuration.inclusions.clear();
        configuration.files.insert("/etc/n.conf".into(), "a\u{fffd};\n".into());
        assert!(safe(vec![edit(1, 0, &["x;"])], &configuration).is_empty());
    }

    #[test]
    fn line_endings_and_links_are_kept() {
        let mut configuration = configuration("a;\r\nb;\r\n");
        configuration.real_paths.insert("/etc/n.conf".into(), "/srv/the file.conf".into());
        assert_eq!(
            render(&[edit(1, 0, &["x;"])], &configuration).unwrap(),
            "--- a/srv/the file.conf\t\n+++ b/srv/the file.conf\t\n@@ -1,2 +1,3 @@\n a;\r\n+x;\r\n b;\r\n"
        );
    }
}
