//! Applies flags and environment variables to a profile.

use hls_swarm_base::error::Failure;

use super::tables::{Access, Encryption, Format, Kind, Limits, Log, Metrics, Profile, Serve};
use crate::cli::service::ServiceArgs;
use crate::cli::{EncryptionName, FormatName, ServingArgs, StreamArgs};
use crate::profile::ladder;

/// Replaces the value if the flag was given.
fn put<T: Clone>(value: &mut T, flag: Option<&T>) {
    if let Some(flag) = flag {
        value.clone_from(flag);
    }
}

impl Profile {
    /// Applies the flags for the stream.
    ///
    /// # Errors
    /// The ladder or the size must be scaled and is invalid.
    pub fn apply_stream(&mut self, args: &StreamArgs) -> Result<(), Failure> {
        self.scale_video(args)?;
        put(&mut self.segment_seconds, args.segment_seconds.as_ref());
        put(&mut self.list_size, args.list_size.as_ref());
        put(&mut self.delete_threshold, args.delete_threshold.as_ref());
        put(&mut self.video.fps, args.fps.as_ref());
        put(&mut self.audio.bitrate_kbps, args.audio_bitrate.as_ref());
        put(&mut self.audio.separate, args.separate_audio.as_ref());
        put(&mut self.subtitles, args.subtitles.as_ref());
        put(&mut self.streams, args.streams.as_ref());
        put(&mut self.encoder.mode, args.encoder.map(Into::into).as_ref());
        put(&mut self.encoder.loop_seconds, args.loop_seconds.as_ref());
        self.streams.retain(|name| !name.is_empty());
        if let Some(format) = args.format {
            self.format = match format {
                FormatName::Ts => Format::Ts,
                FormatName::Fmp4 => Format::Fmp4,
            };
        }
        if let Some(encryption) = args.encryption {
            self.encryption = match encryption {
                EncryptionName::None => Encryption::None,
                EncryptionName::Aes128 => Encryption::Aes128,
            };
        }
        match args.vod {
            None => {}
            Some(0) => self.kind = Kind::Live,
            Some(seconds) => (self.kind, self.vod_seconds) = (Kind::Vod, seconds),
        }
        Ok(())
    }

    /// A given size or bitrate scales the maximum bitrate and the ladder in the proportion of the profile.
    fn scale_video(&mut self, args: &StreamArgs) -> Result<(), Failure> {
        let video = &mut self.video;
        let (old_size, old_kbps) = (video.size.clone(), video.bitrate_kbps);
        put(&mut video.size, args.video_size.as_ref());
        put(&mut video.bitrate_kbps, args.video_bitrate.as_ref());
        if let Some(kbps) = args.video_bitrate {
            video.max_bitrate_kbps = ladder::max_kbps(kbps, old_kbps, video.max_bitrate_kbps);
        }
        match &args.ladder {
            Some(variants) => {
                let is_variant = |variant: &&String| !matches!(variant.as_str(), "" | "none");
                video.ladder = variants.iter().filter(is_variant).cloned().collect();
            }
            None if video.size != old_size || video.bitrate_kbps != old_kbps => {
                let from = ladder::VariantSpec { size: old_size.parse()?, kbps: old_kbps };
                let to = ladder::VariantSpec { size: video.size.parse()?, kbps: video.bitrate_kbps };
                for variant in &mut video.ladder {
                    *variant = variant.parse::<ladder::VariantSpec>()?.scaled(from, to).to_string();
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Applies the flags for metrics.
    pub fn apply_service(&mut self, args: &ServiceArgs) {
        let Metrics { node_port, nginx_port } = &mut self.metrics;
        *node_port = args.node_metrics_port.or(*node_port);
        *nginx_port = args.nginx_metrics_port.or(*nginx_port);
    }

    /// Applies the flags for serving.
    pub fn apply_serving(&mut self, args: &ServingArgs) {
        let Serve { listen, port, tls, tls_port, http2 } = &mut self.serve;
        put(listen, args.listen.as_ref());
        put(port, args.port.as_ref());
        put(tls, args.tls.as_ref());
        put(tls_port, args.tls_port.as_ref());
        put(http2, args.http2.as_ref());
        let Log { access, file, .. } = &mut self.log;
        if let Some(path) = &args.access_log {
            file.clone_from(path);
            if *access == Access::Off {
                *access = Access::All;
            }
        }
        let Limits {
            address_requests_per_second,
            address_connections,
            token_requests_per_second,
            token_connections,
            token_argument,
            burst,
            status,
        } = &mut self.limits;
        put(address_requests_per_second, args.address_requests_per_second.as_ref());
        put(address_connections, args.address_connections.as_ref());
        put(token_requests_per_second, args.token_requests_per_second.as_ref());
        put(token_connections, args.token_connections.as_ref());
        put(token_argument, args.token_argument.as_ref());
        put(burst, args.limit_burst.as_ref());
        put(status, args.limit_status.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{built_in, parse};

    fn with(name: &str, args: &StreamArgs) -> Profile {
        let mut profile = parse(name, built_in(name).unwrap()).unwrap();
        profile.apply_stream(args).unwrap();
        profile
    }

    #[test]
    fn a_smaller_size_scales_the_ladder() {
        let args = StreamArgs {
            video_size: Some("640x360".into()),
            video_bitrate: Some(600),
            ..StreamArgs::default()
        };
        let video = with("4k-abr", &args).video;
        assert_eq!((video.bitrate_kbps, video.max_bitrate_kbps), (600, 660));
        assert_eq!(video.ladder, ["320x180@200", "212x120@80", "142x80@40", "106x60@20"]);
    }

    #[test]
    fn a_given_ladder_is_not_scaled() {
        let given = |variants: &[&str]| {
            let ladder = Some(variants.iter().map(|variant| (*variant).to_owned()).collect());
            with("4k-abr", &StreamArgs { video_bitrate: Some(300), ladder, ..StreamArgs::default() })
                .video
                .ladder
        };
        assert_eq!(given(&["320x180@100"]), ["320x180@100"]);
        assert_eq!(given(&["none"]), [""; 0]);
    }

    #[test]
    fn vod_is_a_duration_and_zero_means_live() {
        let vod = |seconds| {
            let profile = with("default", &StreamArgs { vod: seconds, ..StreamArgs::default() });
            (profile.kind, profile.vod_seconds)
        };
        assert_eq!(vod(None), (Kind::Live, 60));
        assert_eq!(vod(Some(24)), (Kind::Vod, 24));
        assert_eq!(vod(Some(0)), (Kind::Live, 60));
    }

    #[test]
    fn an_access_log_flag_logs_what_the_profile_says_or_all_requests() {
        let access = |name: &str| {
            let mut profile = with(name, &StreamArgs::default());
            profile
                .apply_serving(&ServingArgs { access_log: Some("a.log".into()), ..ServingArgs::default() });
            (profile.log.access, profile.log.file)
        };
        assert_eq!(access("default"), (Access::All, "a.log".to_owned()));
        assert_eq!(access("logged"), (Access::Segments, "a.log".to_owned()));
    }
}
