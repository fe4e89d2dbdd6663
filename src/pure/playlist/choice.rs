//! Which variant of a master playlist a viewer plays.

use super::{Master, Variant};
use crate::words::cli::swarm::Variant as Wish;

/// The variant that `wish` asks for; `None` = all of them.
#[must_use]
pub fn choose(master: &Master, wish: Wish) -> Option<&Variant> {
    match wish {
        Wish::All => None,
        Wish::First => master.variants.first(),
        // Of equals the first wins, whichever end is asked for.
        Wish::Highest => master.variants.iter().rev().max_by_key(|variant| variant.bandwidth),
        Wish::Lowest => master.variants.iter().min_by_key(|variant| variant.bandwidth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn each_wish_finds_its_variant() {
        let variant = |name: &str, bandwidth| Variant {
            url: Url::parse(&format!("http://host/{name}")).unwrap(),
            bandwidth,
            resolution: None,
        };
        let variants = vec![variant("mid", 2), variant("top", 3), variant("top2", 3), variant("low", 1)];
        let master = Master { variants, separate_renditions: false };
        let path = |wish| choose(&master, wish).map(|variant| variant.url.path().to_owned());
        assert_eq!(path(Wish::All), None);
        assert_eq!(path(Wish::First).as_deref(), Some("/mid"));
        assert_eq!(path(Wish::Highest).as_deref(), Some("/top"));
        assert_eq!(path(Wish::Lowest).as_deref(), Some("/low"));
    }
}
