//! nginx: which build it is, its configuration ([`conf`]), and the process ([`process`]).

pub(crate) mod certificate;
pub(crate) mod conf;
pub(crate) mod process;

/// First version with `-e`, the error log that is used before the configuration is read.
const EARLY_ERROR_LOG: (u32, u32, u32) = (1, 19, 5);
/// First version with `keepalive_time`.
const KEEPALIVE_TIME: (u32, u32, u32) = (1, 19, 10);
/// First version with the directive `http2`, which was a parameter of `listen` before.
const HTTP2_DIRECTIVE: (u32, u32, u32) = (1, 25, 1);
/// First version with HTTP/3, as a module that a build may lack.
const HTTP3: (u32, u32, u32) = (1, 25, 0);

/// The version and the build options of nginx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    /// Version: major, minor, patch.
    pub(crate) version: (u32, u32, u32),
    /// Arguments of the configure script.
    pub(crate) arguments: String,
}

impl Build {
    /// Parses the output of `nginx -V`; `None` if it is not the output of nginx.
    #[must_use]
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let version = output.lines().find_map(|line| line.strip_prefix("nginx version: "))?;
        let version = version.split_once('/')?.1.split_whitespace().next()?;
        let mut numbers = version.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next()?.ok();
        let version = (number()?, number()?, number()?);
        let arguments = output.lines().find_map(|line| line.strip_prefix("configure arguments:"));
        Some(Self { version, arguments: arguments.unwrap_or_default().trim().to_owned() })
    }

    /// Whether nginx closes connections after an hour by default.
    #[must_use]
    pub(crate) fn has_keepalive_time(&self) -> bool {
        self.version >= KEEPALIVE_TIME
    }

    /// Whether HTTP/2 is enabled by a directive.
    #[must_use]
    pub(crate) fn has_http2_directive(&self) -> bool {
        self.version >= HTTP2_DIRECTIVE
    }

    /// Whether HTTP/3 can be served.
    #[must_use]
    pub(crate) fn has_http3(&self) -> bool {
        self.version >= HTTP3 && self.has("--with-http_v3_module")
    }

    /// Whether this argument was passed to the configure script.
    #[must_use]
    pub(crate) fn has(&self, argument: &str) -> bool {
        self.arguments.split_whitespace().any(|word| word == argument)
    }
}

/// The arguments that start nginx in the foreground in the runtime directory `prefix`.
#[must_use]
pub(crate) fn argv(build: &Build, prefix: &str) -> Vec<String> {
    let mut argv: Vec<String> = ["-p", prefix, "-c", "nginx.conf"].map(str::to_owned).to_vec();
    // Before nginx has read its configuration, it logs to a file that only root can write.
    if build.version >= EARLY_ERROR_LOG {
        argv.extend(["-e", "stderr"].map(str::to_owned));
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_nginx_is_parsed() {
        let output = "nginx version: nginx/1.22.1 (Ubuntu)\nbuilt with OpenSSL 3\n\
                      configure arguments: --with-threads --without-http_scgi_module\n";
        let build = Build::parse(output).unwrap();
        assert_eq!(build.version, (1, 22, 1));
        assert!(build.has("--with-threads") && !build.has("--with-thread"));
        assert!(build.has_keepalive_time() && !build.has_http2_directive());
        assert_eq!(Build::parse("lighttpd/1.4"), None);
    }
}
