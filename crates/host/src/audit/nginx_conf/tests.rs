//! Typical and broken texts, and properties: a round trip loses nothing, and no input panics.

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
fn a_typical_configuration_is_parsed() {
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
fn syntax_errors_name_the_line() {
    for (text, line, why) in [
        ("a;\nb", 2, "has no `;`"),
        ("a {\n b;\n", 1, "has no `}`"),
        ("a {\n b\n}", 2, "has no `;`"),
        ("a;\n}", 2, "unexpected `}`"),
        ("\n;", 2, "without a directive"),
        ("a 'b\n;", 1, "begins with ' never ends"),
        ("x_by_lua_block {\n", 1, "the block never ends"),
    ] {
        let error = parse("f", text).unwrap_err();
        assert!(error.line == line && error.what.contains(why), "{text:?}: {error:?}");
    }
    assert!(parse("f", &"a {".repeat(10_000)).is_err());
}

#[test]
fn lua_may_contain_braces_and_quotes() {
    for lua in [
        "ngx.say([[ it's { ]])",
        "--[[ we don't\n care { ]] ngx.say('x')",
        "local s = [==[ ]] { ]==] local t = a[b[1]] -- } '",
        "--[ only a comment { \n local x = [=[ ]=]",
    ] {
        let text = format!("location / {{ content_by_lua_block {{ {lua}\n }} }} a b;");
        let directives = parse("f", &text).unwrap_or_else(|error| panic!("{lua}: {error:?}"));
        assert_eq!(directives.len(), 2, "{lua}");
    }
}

#[test]
fn templates_and_byte_order_marks_are_reported_as_such() {
    for (text, line, why) in [
        ("events {}\nhttp { server { listen {{ port }}; } }", 2, "looks like a template ({{)"),
        ("{% if x %}\nevents {}\n{% endif %}", 1, "looks like a template ({%)"),
        ("rtmp {\n ${VARIANTS}\n}", 2, "looks like a template (${)"),
        ("\u{feff}events {}", 1, "byte order mark"),
    ] {
        let error = parse("f", text).unwrap_err();
        assert!(error.line == line && error.what.contains(why), "{text:?}: {error:?}");
    }
}

#[test]
fn fragments_are_read_as_inside_of_http() {
    for (text, server) in
        [("server { listen 1; }", true), ("location / { root /x; }", true), ("upstream a { }", false)]
    {
        let files = Files { main: "/n/a".into(), texts: files(&[("/n/a", text)]), ..Files::default() };
        let configuration = assemble(files).unwrap();
        assert!(configuration.fragment, "{text}");
        let [http] = configuration.directives.as_slice() else { panic!("{configuration:?}") };
        assert_eq!((http.name.as_str(), http.children()[0].name == "server"), ("http", server), "{text}");
    }
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn includes_are_replaced_with_their_files() {
    let files = files(&[
        ("/n/nginx.conf", "events {} http { include mime.types; include conf.d/*.conf; include gone; }"),
        ("/n/mime.types", "types { a b; }"),
        ("/n/conf.d/b.conf", "server { include /n/s/x; }"),
        ("/n/conf.d/a.conf", "gzip on;"),
        ("/n/conf.d/a.bak", "gzip off;"),
        ("/n/s/x", "listen 1;"),
    ]);
    let configuration =
        assemble(Files { main: "/n/nginx.conf".into(), texts: files, ..Files::default() }).unwrap();
    let http = &configuration.directives[1];
    assert_eq!(shape(http.children()), "types {\na b;\n}\ngzip on;\nserver {\nlisten 1;\n}\n");
    assert_eq!(http.children()[2].children()[0].file, "/n/s/x");
    let [missing] = configuration.missing.as_slice() else { panic!("{configuration:?}") };
    assert_eq!((missing.pattern.as_str(), missing.in_http, missing.matters()), ("/n/gone", true, true));
}

#[test]
fn directives_of_the_command_line_come_first_and_files_are_counted() {
    let texts = files(&[
        ("/n/a", "http { include b; include link; }"),
        ("/n/b", "gzip on;"),
        ("/n/link", "gzip on;"),
    ]);
    let files = Files {
        main: "/n/a".into(),
        global: Some("daemon off; worker_processes 3;".into()),
        texts,
        real_paths: [("/n/link".to_owned(), "/n/b".to_owned())].into(),
        ..Files::default()
    };
    let configuration = assemble(files).unwrap();
    assert_eq!(shape(&configuration.directives[..2]), "daemon off;\nworker_processes 3;\n");
    assert_eq!(configuration.inclusions["/n/b"], 2);
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let (file, error) =
        assemble(Files { main: "/n/a".into(), texts: files(&[("/n/a", "include a;")]), ..Files::default() })
            .unwrap_err();
    assert_eq!(file, "/n/a");
    assert!(error.what.contains("include"), "{error:?}");
}

#[test]
fn the_output_of_nginx_t_is_split_into_files() {
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
    fn a_round_trip_loses_nothing(text in prop::collection::vec(trees(), 0..5)) {
        let text = text.concat();
        let once = shape(&parse("f", &text).unwrap());
        prop_assert_eq!(shape(&parse("f", &once).unwrap()), once);
    }

    #[test]
    fn no_input_panics(text in "[a-z{};\"'#$\\\\ \n*?\\[\\]-]{0,200}") {
        if let Ok(directives) = parse("f", &text) {
            let once = shape(&directives);
            prop_assert_eq!(shape(&parse("f", &once).unwrap()), once);
        }
        let _ = glob::matches(&text, &text);
        let _ = dump(&text);
    }

    #[test]
    fn quoted_words_are_read_back(word in "\\PC{0,20}") {
        let read = parse("f", &format!("name {};", quote(&word))).unwrap();
        prop_assert_eq!(&read[0].arguments, &[word]);
    }
}
