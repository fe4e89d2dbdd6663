//! nginx: which build it is, its configuration ([`conf`]), and the process ([`process`]).

pub mod certificate;
pub mod conf;
pub mod process;

/// First version that says where to log before the configuration is read (`-e`).
const EARLY_ERROR_LOG: (u32, u32, u32) = (1, 19, 5);
/// First version that ends old connections by `keepalive_time`.
const KEEPALIVE_TIME: (u32, u32, u32) = (1, 19, 10);
/// First version in which HTTP/2 is a directive, and no word of `listen` any more.
const HTTP2_DIRECTIVE: (u32, u32, u32) = (1, 25, 1);

/// How nginx was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Version, as major, minor, patch.
    pub version: (u32, u32, u32),
    /// Arguments of its configure script.
    pub arguments: String,
}

impl Build {
    /// Reads the answer to `nginx -V`; none if it is not nginx that answered.
    #[must_use]
    pub fn read(answer: &str) -> Option<Self> {
        let version = answer.lines().find_map(|line| line.strip_prefix("nginx version: "))?;
        let version = version.split_once('/')?.1.split_whitespace().next()?;
        let mut numbers = version.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next()?.ok();
        let version = (number()?, number()?, number()?);
        let arguments = answer.lines().find_map(|line| line.strip_prefix("configure arguments:"));
        Some(Self { version, arguments: arguments.unwrap_or_default().trim().to_owned() })
    }

    /// Connections end after an hour unless told otherwise.
    #[must_use]
    pub fn ends_old_connections(&self) -> bool {
        self.version >= KEEPALIVE_TIME
    }

    /// HTTP/2 is asked for by a directive.
    #[must_use]
    pub fn has_http2_directive(&self) -> bool {
        self.version >= HTTP2_DIRECTIVE
    }

    /// Whether an argument was given to its configure script.
    #[must_use]
    pub fn has(&self, argument: &str) -> bool {
        self.arguments.split_whitespace().any(|word| word == argument)
    }
}

/// The arguments that start nginx in the foreground in the private directory `prefix`.
#[must_use]
pub fn argv(build: &Build, prefix: &str) -> Vec<String> {
    let mut argv: Vec<String> = ["-p", prefix, "-c", "nginx.conf"].map(str::to_owned).to_vec();
    // Until it has read its configuration, nginx logs to a file that only root may write.
    if build.version >= EARLY_ERROR_LOG {
        argv.extend(["-e", "stderr"].map(str::to_owned));
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_says_of_itself() {
        let answer = "nginx version: nginx/1.22.1 (Ubuntu)\nbuilt with OpenSSL 3\n\
                      configure arguments: --with-threads --without-http_scgi_module\n";
        let build = Build::read(answer).unwrap();
        assert_eq!(build.version, (1, 22, 1));
        assert!(build.has("--with-threads") && !build.has("--with-thread"));
        assert!(build.ends_old_connections() && !build.has_http2_directive());
        assert_eq!(Build::read("lighttpd/1.4"), None);
    }
}
