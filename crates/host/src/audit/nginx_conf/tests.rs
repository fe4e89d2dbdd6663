//! Real texts, broken ones, and proofs that reading back loses nothing and nothing makes it fail.

use proptest::prelude::*;

use super::*;

const TEXT: &str = r##"# a comment { ; }
user www-data;
events { worker_connections 768; }
http {
    log_format main '$remote_addr "$request" '
                    '$status';   # a comment
    map $uri $x { ~\.ts$ "a; b"; default ""; }
    server {
        listen 80;
        location ~ \.(ts|m4s)$ { root /srv/hls; }
        location /a#b { set $y ${uri}x; return 200 "it's\n"; }
        content_by_lua_block { if x then y = "}" end -- a } too
        }
    }
}
"##;

fn shape(directives: &[Directive]) -> String {
    let mut text = String::new();
    for directive in directives {
        let words: Vec<String> =
            std::iter::once(&directive.name).chain(&directive.arguments).map(|word| quote(word)).collect();
        text.push_str(&words.join(" "));
        match &directive.block {
            None => text.push_str(";\n"),
            Some(children) => text.push_str(&format!(" {{\n{}}}\n", shape(children))),
        }
    }
    text
}

#[test]
fn a_real_text() {
    let directives = parse("/etc/nginx/nginx.conf", TEXT).unwrap();
    let names: Vec<&str> = directives.iter().map(|directive| directive.name.as_str()).collect();
    assert_eq!(names, ["user", "events", "http"]);
    let http = &directives[2];
    assert_eq!((http.line, http.head_line, http.last_line), (4, 4, 15));
    let [log, map, server] = http.children() else { panic!("{http:?}") };
    assert_eq!(log.arguments, ["main", "$remote_addr \"$request\" ", "$status"]);
    assert_eq!((log.line, log.last_line), (5, 6));
    assert_eq!(map.children()[0].name, "~\\.ts$");
    assert_eq!(map.children()[0].arguments, ["a; b"]);
    assert_eq!(map.children()[1].arguments, [""]);
    let [listen, segments, other, lua] = server.children() else { panic!("{server:?}") };
    assert_eq!(listen.place(), "/etc/nginx/nginx.conf:9");
    assert_eq!(segments.arguments, ["~", "\\.(ts|m4s)$"]);
    assert_eq!(other.value(), "/a#b");
    assert_eq!(other.children()[0].arguments, ["$y", "${uri}x"]);
    assert_eq!(other.children()[1].arguments, ["200", "it's\n"]);
    assert_eq!(lua.block, Some(Vec::new()));
}

#[test]
fn broken_texts_name_the_line() {
    for (text, line, why) in [
        ("a;\nb", 2, "without its `;`"),
        ("a {\n b;\n", 1, "whose `}` is missing"),
        ("a {\n b\n}", 2, "without its `;`"),
        ("a;\n}", 2, "a `}` too many"),
        ("\n;", 2, "without a directive"),
        ("a 'b\n;", 1, "a ' that never ends"),
        ("x_by_lua_block {\n", 1, "a block that never ends"),
    ] {
        let error = parse("f", text).unwrap_err();
        assert!(error.line == line && error.what.contains(why), "{text:?}: {error:?}");
    }
    assert!(parse("f", &"a {".repeat(10_000)).is_err());
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn includes_are_put_in_their_place() {
    let files = files(&[
        ("/n/nginx.conf", "events {} http { include mime.types; include conf.d/*.conf; include gone; }"),
        ("/n/mime.types", "types { a b; }"),
        ("/n/conf.d/b.conf", "server { include /n/s/x; }"),
        ("/n/conf.d/a.conf", "gzip on;"),
        ("/n/conf.d/a.bak", "gzip off;"),
        ("/n/s/x", "listen 1;"),
    ]);
    let configuration = assemble("/n/nginx.conf", files).unwrap();
    let http = &configuration.directives[1];
    assert_eq!(shape(http.children()), "types {\na b;\n}\ngzip on;\nserver {\nlisten 1;\n}\n");
    assert_eq!(http.children()[2].children()[0].file, "/n/s/x");
    assert_eq!(configuration.missing, ["/n/gone"]);
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let (file, error) = assemble("/n/a", files(&[("/n/a", "include a;")])).unwrap_err();
    assert_eq!(file, "/n/a");
    assert!(error.what.contains("include"), "{error:?}");
}

#[test]
fn the_answer_of_nginx() {
    let answer = "nginx: the configuration file /n/c syntax is ok\n# configuration file /n/c:\nevents {}\n\n\
                  # configuration file /n/d:\na;\n\n";
    assert_eq!(dump(answer), [("/n/c".into(), "events {}\n".into()), ("/n/d".into(), "a;\n".into())]);
}

/// Trees of directives, three deep.
fn trees() -> impl Strategy<Value = String> {
    let word = "[a-z/~\\\\.$*^()\"' ;{}#é\t]{1,12}";
    let line = prop::collection::vec(word, 0..4).prop_map(|words| {
        let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
        format!("name {};\n", words.join(" "))
    });
    line.prop_recursive(3, 40, 5, |inner| {
        prop::collection::vec(inner, 0..5).prop_map(|inner| format!("block 'x' {{\n{}}}\n", inner.concat()))
    })
}

proptest! {
    #[test]
    fn what_was_read_is_read_again(text in prop::collection::vec(trees(), 0..5)) {
        let text = text.concat();
        let once = shape(&parse("f", &text).unwrap());
        prop_assert_eq!(shape(&parse("f", &once).unwrap()), once);
    }

    #[test]
    fn nothing_makes_it_fail(text in "[a-z{};\"'#$\\\\ \n*?\\[\\]-]{0,200}") {
        if let Ok(directives) = parse("f", &text) {
            let once = shape(&directives);
            prop_assert_eq!(shape(&parse("f", &once).unwrap()), once);
        }
        let _ = glob::matches(&text, &text);
        let _ = dump(&text);
    }

    #[test]
    fn words_survive_their_quotes(word in "\\PC{0,20}") {
        let read = parse("f", &format!("name {};", quote(&word))).unwrap();
        prop_assert_eq!(&read[0].arguments, &[word]);
    }
}
