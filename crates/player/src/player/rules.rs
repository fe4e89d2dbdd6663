//! What known players do apart from their buffers and adaptation: where they begin, when they reload a playlist, and
//! how they repeat requests. After their sources (hls.js 1.6, Media3 1.x, Shaka Player 4.x), with default
//! configurations.

use std::time::Duration;

use crate::interface::FetchFailure;
use crate::preset::Preset;

/// The rules of a player.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether it begins to play at the exact position, not at the beginning of the segment there.
    pub(crate) precise_start: bool,
    /// Whether it stays one second farther from the live edge after each stall, up to one target duration.
    pub(crate) yields_after_stalls: bool,
    /// Whether it uses the duration of the last segment instead of the target duration if that is shorter.
    pub(crate) reloads_by_last_segment: bool,
    /// Whether it looks for the segment at the end of its buffer after a switch, and not for the one after the last one. The
    /// buffer ends before the last segment does if the audio of that segment is shorter than its video; then it may be loaded
    /// once more, from the variant that was switched to.
    pub(crate) searches_after_switch: bool,
    /// Whether it requests a part that a playlist announces (EXT-X-PRELOAD-HINT) before it is listed.
    pub(crate) requests_hints: bool,
    /// Its buffer holds this many bytes where that is more media than its goal.
    pub(crate) buffer_bytes: Option<u64>,
    pub(crate) segments: Retry,
    pub(crate) playlists: Retry,
    /// After failures, a variant is not chosen for this long.
    pub(crate) penalty: Duration,
    /// How it follows pathways. `None`: the variants of all pathways are candidates.
    pub(crate) pathways: Option<PathwayRules>,
    /// Whether it loads keys of EXT-X-SESSION-KEY before a segment needs them. The known players do so for DRM systems
    /// only.
    pub(crate) preloads_session_keys: bool,
}

/// How a player follows pathways (RFC 8216bis, 7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathwayRules {
    /// A pathway that failed is not chosen for this long.
    pub(crate) penalty: Duration,
    /// Whether playback begins only when the steering server has answered.
    pub(crate) waits_for_manifest: bool,
    /// How requests for the steering manifest are repeated.
    pub(crate) retry: Retry,
    pub(crate) refusals: Refusals,
}

/// What a player does when the steering server refuses (410, 429).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// They are failures like others.
    Ignored,
    /// It does not ask again.
    Final,
    /// After 410 it does not ask again, and after 429 it asks when `Retry-After` has passed.
    Specified,
}

/// How a player repeats requests that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    /// Maximum number of repetitions.
    pub(crate) times: u8,
    /// The wait before the first repetition, and the longest one.
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) growth: Growth,
    /// The largest share of the wait by which it is randomly changed.
    pub(crate) fuzz: f64,
    /// Whether 4xx are repeated.
    pub(crate) repeats_client_errors: bool,
    /// Whether another variant is tried at once after a 4xx, if there is one.
    pub(crate) switches_on_client_errors: bool,
    /// Whether a time limit that was exceeded is waited for, too.
    pub(crate) waits_after_timeout: bool,
}

/// How the wait between repetitions grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It doubles.
    Doubling,
    /// Nothing, then `first`, then twice `first`, and so on.
    Linear,
}

/// How long a response may take before the player gives it up (hls.js's defaults, which are the strictest).
pub(crate) const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(10);
pub(crate) const SEGMENT_LIMIT: Duration = Duration::from_secs(120);
pub(crate) const PLAYLIST_LIMIT: Duration = Duration::from_secs(20);

const MAX: Duration = Duration::MAX;
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const HLS_JS_SEGMENTS: Retry = Retry {
    times: 6,
    first: seconds(1),
    longest: seconds(8),
    growth: Growth::Doubling,
    fuzz: 0.0,
    repeats_client_errors: false,
    switches_on_client_errors: true,
    waits_after_timeout: false,
};

const HLS_JS: Rules = Rules {
    precise_start: true,
    yields_after_stalls: true,
    reloads_by_last_segment: true,
    searches_after_switch: true,
    // It reads the tag, and loads parts that are listed.
    requests_hints: false,
    buffer_bytes: Some(60_000_000),
    segments: HLS_JS_SEGMENTS,
    playlists: Retry { times: 2, ..HLS_JS_SEGMENTS },
    // Until a segment was skipped because no variant had it.
    penalty: MAX,
    pathways: Some(PathwayRules {
        penalty: seconds(300),
        waits_for_manifest: false,
        retry: Retry { times: 1, ..HLS_JS_SEGMENTS },
        refusals: Refusals::Final,
    }),
    preloads_session_keys: false,
};

const EXO_SEGMENTS: Retry = Retry {
    times: 3,
    first: seconds(1),
    longest: seconds(5),
    growth: Growth::Linear,
    fuzz: 0.0,
    repeats_client_errors: true,
    switches_on_client_errors: true,
    waits_after_timeout: true,
};

const EXOPLAYER: Rules = Rules {
    precise_start: false,
    yields_after_stalls: false,
    reloads_by_last_segment: false,
    searches_after_switch: false,
    requests_hints: true,
    buffer_bytes: None,
    segments: EXO_SEGMENTS,
    playlists: EXO_SEGMENTS,
    penalty: seconds(60),
    pathways: None,
    preloads_session_keys: false,
};

const SHAKA_SEGMENTS: Retry = Retry {
    times: 1,
    first: seconds(1),
    longest: seconds(8),
    growth: Growth::Doubling,
    fuzz: 0.5,
    repeats_client_errors: true,
    switches_on_client_errors: false,
    waits_after_timeout: true,
};

const SHAKA: Rules = Rules {
    precise_start: true,
    yields_after_stalls: false,
    reloads_by_last_segment: false,
    searches_after_switch: false,
    requests_hints: true,
    buffer_bytes: None,
    segments: SHAKA_SEGMENTS,
    playlists: SHAKA_SEGMENTS,
    penalty: seconds(30),
    pathways: Some(PathwayRules {
        penalty: seconds(60),
        waits_for_manifest: true,
        retry: SHAKA_SEGMENTS,
        refusals: Refusals::Ignored,
    }),
    preloads_session_keys: false,
};

const SIMPLE_SEGMENTS: Retry = Retry {
    times: 3,
    first: seconds(1),
    longest: seconds(4),
    growth: Growth::Doubling,
    fuzz: 0.0,
    repeats_client_errors: true,
    switches_on_client_errors: false,
    waits_after_timeout: true,
};

const SIMPLE: Rules = Rules {
    precise_start: false,
    yields_after_stalls: false,
    reloads_by_last_segment: false,
    searches_after_switch: false,
    requests_hints: true,
    buffer_bytes: None,
    segments: SIMPLE_SEGMENTS,
    playlists: SIMPLE_SEGMENTS,
    penalty: seconds(30),
    pathways: Some(PathwayRules {
        penalty: seconds(60),
        waits_for_manifest: false,
        retry: SIMPLE_SEGMENTS,
        refusals: Refusals::Specified,
    }),
    preloads_session_keys: true,
};

impl Rules {
    pub(crate) const fn of(preset: Preset) -> &'static Self {
        match preset {
            Preset::HlsJs => &HLS_JS,
            Preset::ExoPlayer => &EXOPLAYER,
            Preset::Shaka => &SHAKA,
            Preset::Simple => &SIMPLE,
        }
    }
}

impl Retry {
    /// The wait before the request is repeated after `failures` of them; `None` if it is not. `chance` is from 0 to 1.
    pub(crate) fn wait(&self, failure: FetchFailure, failures: u8, chance: f64) -> Option<Duration> {
        let client_error = matches!(failure, FetchFailure::Status(400..=499));
        let repeated = failures <= self.times && (self.repeats_client_errors || !client_error);
        repeated.then(|| {
            if failure == FetchFailure::Timeout && !self.waits_after_timeout {
                return Duration::ZERO;
            }
            self.backoff(failures, chance)
        })
    }

    /// The wait after `failures` of them, whether the policy permits that many or not.
    pub(crate) fn backoff(&self, failures: u8, chance: f64) -> Duration {
        let before = u32::from(failures.saturating_sub(1));
        let wait = match self.growth {
            Growth::Doubling => self.first.saturating_mul(1 << before.min(16)),
            Growth::Linear => self.first.saturating_mul(before),
        };
        let fuzz = 1.0 + self.fuzz * (chance.clamp(0.0, 1.0) * 2.0 - 1.0);
        wait.min(self.longest).mul_f64(fuzz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits in milliseconds until the policy has no more.
    fn waits(retry: &Retry, failure: FetchFailure) -> Vec<u128> {
        (1..).map_while(|failures| retry.wait(failure, failures, 0.5)).map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn each_player_repeats_requests_in_its_own_way() {
        let server = FetchFailure::Status(503);
        assert_eq!(waits(&HLS_JS.segments, server), [1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(waits(&HLS_JS.playlists, server), [1000, 2000]);
        assert_eq!(waits(&HLS_JS.segments, FetchFailure::Timeout), [0; 6]);
        assert_eq!(waits(&HLS_JS.segments, FetchFailure::Status(404)), [0; 0]);
        assert_eq!(waits(&EXOPLAYER.segments, server), [0, 1000, 2000]);
        assert_eq!(waits(&SHAKA.segments, FetchFailure::Status(404)), [1000]);
        assert_eq!(waits(&SIMPLE.segments, server), [1000, 2000, 4000]);
    }

    #[test]
    fn chance_changes_a_wait_by_half_at_most() {
        let wait = |chance| SHAKA.segments.wait(FetchFailure::Cut, 1, chance).unwrap().as_millis();
        assert_eq!((wait(0.0), wait(0.5), wait(1.0)), (500, 1000, 1500));
    }
}
