//! Containers that a test starts. Each container is removed by its id when it is dropped, and so is its network.
//! Other containers on the same engine are not touched.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::program;

/// The name of the image of a program, as containers/build creates it.
pub fn image(program: &str) -> String {
    format!("hls-{program}:{}", std::env::var("TAG").unwrap_or_else(|_| "local".to_owned()))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// The trimmed standard output of a command that must succeed.
pub fn stdout_of(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn docker(arguments: &[&str]) -> String {
    stdout_of(program("docker").args(arguments))
}

/// A network that only this test uses.
pub struct Network {
    pub name: String,
}

impl Network {
    pub fn new(purpose: &str) -> Self {
        let name = format!("hls-test-{purpose}-{}", std::process::id());
        docker(&["network", "create", &name]);
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(output(program("docker").args(["network", "rm", &self.name])));
    }
}

/// A container with the restrictions that docs/containers.md describes.
pub struct Container {
    pub id: String,
}

impl Container {
    /// Starts `image` with `options` for docker and `arguments` for the program.
    pub fn start(options: &[&str], image: &str, arguments: &[&str]) -> Self {
        let locked = ["run", "--detach", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        Self { id: docker(&[&locked, options, &[image], arguments].concat()) }
    }

    /// A value from `docker inspect`, by its JSON pointer.
    pub fn fact(&self, path: &str) -> Value {
        let all: Value = serde_json::from_str(&docker(&["inspect", &self.id])).unwrap();
        all[0].pointer(path).cloned().unwrap_or(Value::Null)
    }

    /// The process ID of its first process on the host.
    pub fn pid(&self) -> u64 {
        self.fact("/State/Pid").as_u64().unwrap()
    }

    /// Runs a command in the container and returns its output.
    pub fn exec(&self, command: &[&str]) -> Output {
        output(program("docker").args(["exec", &self.id]).args(command))
    }

    /// Everything it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        let output = output(program("docker").args(["logs", &self.id]));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Waits until it ends and returns its exit code.
    pub fn wait(&self, within: Duration) -> i64 {
        let began = Instant::now();
        while self.fact("/State/Running") == true {
            assert!(began.elapsed() < within, "still running: {}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        self.fact("/State/ExitCode").as_i64().unwrap()
    }

    /// The port of this machine that is forwarded to `port` of the container.
    pub fn published(&self, port: u16) -> u16 {
        let path = format!("/NetworkSettings/Ports/{port}~1tcp/0/HostPort");
        self.fact(&path).as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(output(program("docker").args(["rm", "--force", "--volumes", &self.id])));
    }
}

/// The compose stack under its own project name, without downloads.
pub struct Stack {
    project: String,
    variables: Vec<(&'static str, String)>,
}

impl Stack {
    pub fn up(variables: Vec<(&'static str, String)>) -> Self {
        // Created before the stack is up, so that a partial stack is removed too.
        let stack = Self { project: format!("hlstest{}", std::process::id()), variables };
        stdout_of(&mut stack.compose(&["up", "--detach"]));
        stack
    }

    fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = program(concat!(env!("CARGO_MANIFEST_DIR"), "/../../containers/compose"));
        command.env("OFFLINE", "1").env("PROJECT", &self.project).envs(self.variables.iter().cloned());
        command.args(arguments);
        command
    }

    /// The container of a service. The stack removes it.
    pub fn service(&self, name: &str) -> std::mem::ManuallyDrop<Container> {
        std::mem::ManuallyDrop::new(Container { id: stdout_of(&mut self.compose(&["ps", "--quiet", name])) })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(output(&mut self.compose(&["down", "--volumes", "--timeout", "5"])));
    }
}
