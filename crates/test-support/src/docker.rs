//! Containers that a test starts. Each is removed when it is dropped, by its id, and so is their network;
//! what others run on the same engine is not touched.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::program;

/// An image of containers/build's, by the program in it.
pub fn image(program: &str) -> String {
    format!("hls-{program}:{}", std::env::var("TAG").unwrap_or_else(|_| "local".to_owned()))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Standard output of a command that has to succeed, without the space around it.
pub fn said(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn docker(arguments: &[&str]) -> String {
    said(program("docker").args(arguments))
}

/// A network of this test's own.
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

/// A container, as locked up as the documents say.
pub struct Container {
    pub id: String,
}

impl Container {
    /// Starts `image` with `options` of docker's and `arguments` of the program's.
    pub fn start(options: &[&str], image: &str, arguments: &[&str]) -> Self {
        let locked = ["run", "--detach", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        Self { id: docker(&[&locked, options, &[image], arguments].concat()) }
    }

    /// A fact of `docker inspect`.
    pub fn fact(&self, path: &str) -> Value {
        let all: Value = serde_json::from_str(&docker(&["inspect", &self.id])).unwrap();
        all[0].pointer(path).cloned().unwrap_or(Value::Null)
    }

    /// Its first process, as this machine numbers it.
    pub fn pid(&self) -> u64 {
        self.fact("/State/Pid").as_u64().unwrap()
    }

    /// What a command in it says.
    pub fn exec(&self, words: &[&str]) -> Output {
        output(program("docker").args(["exec", &self.id]).args(words))
    }

    /// Everything it said, on both streams.
    pub fn log(&self) -> String {
        let output = output(program("docker").args(["logs", &self.id]));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Its exit code once it has ended.
    pub fn wait(&self, within: Duration) -> i64 {
        let began = Instant::now();
        while self.fact("/State/Running") == true {
            assert!(began.elapsed() < within, "still running: {}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        self.fact("/State/ExitCode").as_i64().unwrap()
    }

    /// The port of this machine that leads to `port` of the container.
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

/// The compose stack under a name of its own, from what is on this machine.
pub struct Stack {
    project: String,
    variables: Vec<(&'static str, String)>,
}

impl Stack {
    pub fn up(variables: Vec<(&'static str, String)>) -> Self {
        // Before it is up, so that half a stack is removed too.
        let stack = Self { project: format!("hlstest{}", std::process::id()), variables };
        said(&mut stack.compose(&["up", "--detach"]));
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
        std::mem::ManuallyDrop::new(Container { id: said(&mut self.compose(&["ps", "--quiet", name])) })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(output(&mut self.compose(&["down", "--volumes", "--timeout", "5"])));
    }
}
