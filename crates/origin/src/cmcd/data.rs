//! Reads what players report (CTA-5004, versions 1 and 2) from a line of the access log.

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::access_log::LogEntry;

/// What a player reported with a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Data(Dictionary);

/// The data of a request. `None` if it has none, and the reason if they cannot be read.
pub(crate) fn of(entry: &LogEntry) -> Option<Result<Data, String>> {
    let query = url::form_urlencoded::parse(entry.args.as_bytes()).find(|(name, _)| name == "CMCD");
    let query = query.map(|(_, value)| value.into_owned());
    let headers = [&entry.cmcd_object, &entry.cmcd_request, &entry.cmcd_session, &entry.cmcd_status];
    let parts = headers.into_iter().cloned().chain(query).filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(",");
    // Version 1 is a subset of structured fields (RFC 8941), which version 2 uses.
    (!text.is_empty())
        .then(|| Parser::new(&text).parse().map(Data).map_err(|error| format!("{error}: {text}")))
}

impl Data {
    fn item(&self, key: &str) -> Option<&BareItem> {
        let entry = self.0.get(key)?;
        let ListEntry::InnerList(list) = entry else {
            let ListEntry::Item(item) = entry else { return None };
            return Some(&item.bare_item);
        };
        // Of several values that of the object's own type.
        let object = match self.0.get("ot") {
            Some(ListEntry::Item(item)) => item.bare_item.as_token().map(|token| token.as_str()),
            _ => None,
        };
        let own =
            list.items.iter().find(|item| object.is_some_and(|object| item.params.contains_key(object)));
        own.or_else(|| list.items.first()).map(|item| &item.bare_item)
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.item(key).and_then(number)
    }

    /// All numbers of a list; empty without it.
    pub(crate) fn numbers(&self, key: &str) -> Vec<f64> {
        let Some(ListEntry::InnerList(list)) = self.0.get(key) else { return Vec::new() };
        list.items.iter().filter_map(|item| number(&item.bare_item)).collect()
    }

    /// The text or the token of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let item = self.item(key)?;
        item.as_string().map(|text| text.as_str()).or_else(|| item.as_token().map(|token| token.as_str()))
    }

    /// Whether a flag is set.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.item(key).and_then(|item| item.as_boolean()) == Some(true)
    }
}

fn number(item: &BareItem) -> Option<f64> {
    let decimal = || item.as_decimal().map(f64::from);
    item.as_integer().map(|integer| i64::from(integer) as f64).or_else(decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(args: &str, headers: [&str; 4]) -> LogEntry {
        let mut entry: LogEntry = serde_json::from_str(
            r#"{"msec":1,"remote_addr":"","remote_port":1,"connection":1,"connection_requests":1,"request_method":"GET",
                "uri":"/a","args":"","status":200,"body_bytes_sent":1,"bytes_sent":1,"request_time":0,"http_user_agent":"",
                "request_completion":"OK","http_range":""}"#,
        )
        .unwrap();
        let [object, request, session, status] = headers.map(str::to_owned);
        entry.args = args.to_owned();
        (entry.cmcd_object, entry.cmcd_request) = (object, request);
        (entry.cmcd_session, entry.cmcd_status) = (session, status);
        entry
    }

    #[test]
    fn both_modes_and_both_versions_are_read() {
        let query = entry("t=1&CMCD=bl%3D2000%2Cbs%2Cot%3Dav%2Csid%3D%22a%2Cb%22%2Cpr%3D1.5", [""; 4]);
        let headers = entry("", ["br=3200,ot=v", "mtp=25400", "sf=h,sid=\"x\"", "bs"]);
        let second = entry(
            "CMCD=br%3D(128%3Ba%203200%3Bv)%2Cbsd%3D(300%204000)%2Cmtp%3D(25400)%2Cot%3Dv%2Cv%3D2",
            [""; 4],
        );
        let data = of(&query).unwrap().unwrap();
        assert_eq!((data.number("bl"), data.flag("bs"), data.text("sid")), (Some(2000.0), true, Some("a,b")));
        assert_eq!((data.text("ot"), data.number("pr"), data.flag("su")), (Some("av"), Some(1.5), false));
        let data = of(&headers).unwrap().unwrap();
        assert_eq!(
            (data.number("br"), data.number("mtp"), data.flag("bs")),
            (Some(3200.0), Some(25_400.0), true)
        );
        let data = of(&second).unwrap().unwrap();
        assert_eq!(
            (data.number("br"), data.number("mtp"), data.number("v")),
            (Some(3200.0), Some(25_400.0), Some(2.0))
        );
        assert_eq!((data.numbers("bsd"), data.numbers("bl")), (vec![300.0, 4000.0], vec![]));
    }

    #[test]
    fn data_that_cannot_be_read_differ_from_no_data() {
        assert_eq!(of(&entry("CMC=bl%3D1&x", [""; 4])), None);
        for bad in ["CMCD=bl%3D", "CMCD=%22", "CMCD=bl%3D1%2C"] {
            assert!(of(&entry(bad, [""; 4])).unwrap().is_err(), "{bad}");
        }
    }
}
