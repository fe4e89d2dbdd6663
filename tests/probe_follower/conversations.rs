//! Any conversation, split in any way, against the facts that were written into it.

use proptest::prelude::*;

use super::wire::{end, flag};
use super::{Connection, GET, hash_without_directives, pieces, wire};

/// How a response states its length.
#[derive(Clone, Debug)]
enum Framing {
    Length,
    Chunks(Vec<usize>),
    NoBody,
}

#[derive(Clone, Debug)]
struct Exchange {
    name: String,
    query: Option<String>,
    interim: u8,
    status: u16,
    body: Vec<u8>,
    framing: Framing,
    age: Option<u32>,
    line_end: &'static str,
    gzip: bool,
}

impl Exchange {
    fn target(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("/dir/{}{query}", self.name)
    }

    fn request(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nUser-Agent: x: y\r\nhost:  h \r\n\r\n", self.target()).into_bytes()
    }

    /// Head and body.
    fn response(&self) -> (Vec<u8>, Vec<u8>) {
        let end = self.line_end;
        let mut head =
            format!("HTTP/1.1 100 Continue{end}Content-Length: 5{end}{end}").repeat(self.interim.into());
        let status = if matches!(self.framing, Framing::NoBody) { 304 } else { self.status };
        head += &format!("HTTP/1.1 {status} Some Words{end}Server: x{end}");
        if let Some(age) = self.age {
            head += &format!("AGE: {age}{end}");
        }
        if self.gzip {
            head += &format!("Content-Encoding: gzip{end}");
        }
        let body = match &self.framing {
            Framing::NoBody => Vec::new(),
            Framing::Length => {
                head += &format!("content-LENGTH:{}{end}", self.body.len());
                self.body.clone()
            }
            Framing::Chunks(cuts) => {
                head += &format!("Transfer-Encoding: chunked{end}");
                let mut body = Vec::new();
                for chunk in pieces(&self.body, cuts).into_iter().filter(|chunk| !chunk.is_empty()) {
                    body.extend_from_slice(format!("{:X}{end}", chunk.len()).as_bytes());
                    body.extend_from_slice(chunk);
                    body.extend_from_slice(end.as_bytes());
                }
                body.extend_from_slice(format!("0{end}{end}").as_bytes());
                body
            }
        };
        head += end;
        (head.into_bytes(), body)
    }
}

prop_compose! {
    fn exchanges()(
        name in "[a-z]{0,12}[.]ts",
        query in proptest::option::of(prop_oneof!["[a-z/?=]{0,12}", "((_HLS_|_H|)[a-c]?(=[0-9])?&?){0,5}"]),
        interim in 0_u8..3,
        status in prop_oneof![Just(200_u16), Just(206), Just(302), Just(404), Just(503)],
        body in proptest::collection::vec(any::<u8>(), 0..200),
        framing in prop_oneof![
            Just(Framing::Length),
            Just(Framing::NoBody),
            proptest::collection::vec(0_usize..40, 0..8).prop_map(Framing::Chunks),
        ],
        age in proptest::option::of(any::<u32>()),
        line_end in prop_oneof![Just("\r\n"), Just("\n")],
        gzip in any::<bool>(),
    ) -> Exchange {
        Exchange { name, query, interim, status, body, framing, age, line_end, gzip }
    }
}

proptest! {
    #[test]
    fn any_split_of_any_conversation_yields_the_written_facts(
        conversation in proptest::collection::vec(exchanges(), 1..5),
        cuts in proptest::collection::vec(0_usize..60, 0..60),
    ) {
        let mut connection = Connection::new();
        for exchange in &conversation {
            for piece in pieces(&exchange.request(), &cuts) {
                connection.send(piece);
            }
            let (head, body) = exchange.response();
            let all = [head.as_slice(), &body].concat();
            for piece in pieces(&all, &cuts) {
                connection.receive(piece);
            }
        }
        prop_assert_eq!(connection.over.len(), conversation.len());
        for (exchange, (how, record)) in conversation.iter().zip(&connection.over) {
            let (head, body) = exchange.response();
            let no_body = matches!(exchange.framing, Framing::NoBody);
            let entity = if no_body { &[][..] } else { &exchange.body };
            prop_assert_eq!(*how, end::COMPLETE);
            prop_assert_eq!(record.name(), exchange.name.as_bytes());
            prop_assert_eq!(record.url_hash, hash_without_directives(&exchange.target(), "h"));
            prop_assert_eq!(record.status, if no_body { 304 } else { exchange.status });
            prop_assert_eq!(record.head_bytes, head.len() as u64);
            prop_assert_eq!(record.body_bytes, body.len() as u64);
            prop_assert_eq!(record.sniff(), &entity[..entity.len().min(wire::SNIFF_BYTES)]);
            prop_assert_eq!(record.has(flag::AGE), exchange.age.is_some());
            prop_assert_eq!(record.age_s, exchange.age.unwrap_or(0));
            prop_assert_eq!(record.has(flag::ENCODED), exchange.gzip);
            prop_assert_eq!(record.has(flag::CHUNKED), matches!(exchange.framing, Framing::Chunks(_)));
        }
    }

    #[test]
    fn any_split_of_any_garbage_yields_the_same_facts(
        sent in "(GET|HEAD|POST|[A-Z\n]{0,3}) /[a-z/? ]{0,9}( HTTP/1.1|)\r?\n(Host: [a-z]|Content-Length: [0-9]{1,20}|[ -~]{0,9}|\r?\n){0,5}",
        received in "(HTTP/1.[01]|[A-Z]{1,4}) [0-9]{1,4} (\r?\n(Content-Length: [0-9]{1,21}|Transfer-Encoding: [a-z,]{0,9}(chunked|)|[ -~]{0,9})){0,4}(\r?\n[0-9a-f; ]{0,3}){0,6}",
        junk in proptest::collection::vec(any::<u8>(), 0..50),
        cuts in proptest::collection::vec(0_usize..30, 0..40),
    ) {
        let run = |cuts: &[usize]| {
            let mut connection = Connection::new();
            for bytes in [sent.as_bytes(), &junk, GET] {
                pieces(bytes, cuts).into_iter().for_each(|piece| connection.send(piece));
            }
            for bytes in [received.as_bytes(), &junk, received.as_bytes()] {
                pieces(bytes, cuts).into_iter().for_each(|piece| connection.receive(piece));
            }
            connection.end();
            (connection.over, connection.not_http, connection.follower.in_flight())
        };
        prop_assert_eq!(run(&cuts), run(&[]));
    }
}
