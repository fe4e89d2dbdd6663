//! The effects of flags on a profile beyond their own keys.

use hls_swarm_base::error::Failure;

use super::tables::{Access, Kind, Profile};
use crate::cli::OriginArgs;
use crate::profile::ladder::{VariantSpec, max_kbps};

impl Profile {
    /// Adapts what depends on the keys that flags have changed. `before` is the profile without flags.
    ///
    /// # Errors
    /// A variant or size that has to be scaled is not valid.
    pub(super) fn adapt(&mut self, before: &Self, args: &OriginArgs) -> Result<(), Failure> {
        self.scale_video(before, args)?;
        self.streams.retain(|name| !name.is_empty());
        match args.vod {
            None => {}
            Some(0) => self.kind = Kind::Live,
            Some(seconds) => (self.kind, self.vod_seconds) = (Kind::Vod, seconds),
        }
        if args.given.is_direct("log.file") && self.log.access == Access::Off {
            self.log.access = Access::All;
        }
        Ok(())
    }

    /// Scales what depends on the size and bitrate of the video, in the profile's proportion.
    fn scale_video(&mut self, before: &Self, args: &OriginArgs) -> Result<(), Failure> {
        let (old, video) = (&before.video, &mut self.video);
        if args.given.is_direct("video.bitrate_kbps") {
            video.max_bitrate_kbps = max_kbps(video.bitrate_kbps, old.bitrate_kbps, old.max_bitrate_kbps);
        }
        if args.given.is_direct("video.ladder") {
            video.ladder.retain(|variant| !matches!(variant.as_str(), "" | "none"));
        } else if video.size != old.size || video.bitrate_kbps != old.bitrate_kbps {
            let from = VariantSpec { size: old.size.parse()?, kbps: old.bitrate_kbps };
            let to = VariantSpec { size: video.size.parse()?, kbps: video.bitrate_kbps };
            for variant in &mut video.ladder {
                *variant = variant.parse::<VariantSpec>()?.scaled(from, to).to_string();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::plan::Plan;

    fn with(flags: &[&str]) -> Profile {
        Plan::of_flags(flags).unwrap().profile
    }

    #[test]
    fn a_flag_overrides_its_key_and_nothing_else() {
        let (before, after) =
            (with(&[]), with(&["--fps=25", "--separate-audio", "-list-size", "7", "--http2=false"]));
        let mut expected = before;
        (expected.video.fps, expected.audio.separate, expected.list_size) = (25, true, 7);
        expected.serve.http2 = false;
        assert_eq!(after, expected);
    }

    #[test]
    fn a_smaller_video_scales_the_other_variants() {
        let video = with(&["--profile=4k-abr", "--video-size=640x360", "--video-bitrate=600"]).video;
        assert_eq!((video.bitrate_kbps, video.max_bitrate_kbps), (600, 660));
        assert_eq!(video.ladder, ["320x180@200", "212x120@80", "142x80@40", "106x60@20"]);
    }

    #[test]
    fn a_given_ladder_is_not_scaled() {
        let given = |ladder: &str| with(&["--profile=4k-abr", "--video-bitrate=300", ladder]).video.ladder;
        assert_eq!(given("--ladder=320x180@100"), ["320x180@100"]);
        assert_eq!(given("--ladder=320x180@100,160x90@50"), ["320x180@100", "160x90@50"]);
        assert_eq!(given("--ladder=none"), [""; 0]);
    }

    #[test]
    fn vod_is_a_length_and_zero_is_live() {
        let vod = |flags: &[&str]| {
            let profile = with(flags);
            (profile.kind, profile.vod_seconds)
        };
        assert_eq!(vod(&[]), (Kind::Live, 60));
        assert_eq!(vod(&["--vod=24"]), (Kind::Vod, 24));
        assert_eq!(vod(&["--vod=0"]), (Kind::Live, 60));
    }

    #[test]
    fn an_access_log_has_the_requests_that_the_profile_selects_or_all() {
        let access = |name: &str| {
            let log = with(&["--profile", name, "--access-log=a.log"]).log;
            (log.access, log.file)
        };
        assert_eq!(access("default"), (Access::All, "a.log".to_owned()));
        assert_eq!(access("logged"), (Access::Segments, "a.log".to_owned()));
    }
}
