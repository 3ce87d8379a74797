//! Keystone: signing in.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::world::World;

/// The tenant that a sign-in asks for.
#[must_use]
pub fn scope(body: &Value) -> Option<&str> {
    body.pointer("/auth/scope/project/id")?.as_str()
}

/// Signs in.
pub fn sign_in(world: &mut World, body: &Value) -> Answer {
    let user = body.pointer("/auth/identity/password/user");
    let text = |name: &str| user.and_then(|user| user.get(name)).and_then(Value::as_str);
    let (Some(name), Some(password), Some(tenant)) = (text("name"), text("password"), scope(body)) else {
        return Answer::keystone_error(
            400,
            "Bad Request",
            "Expecting to find auth.identity.password.user and auth.scope.project.id",
        );
    };
    if !world.is_pair(name, password) {
        return Answer::keystone_error(401, "Unauthorized", "The request you have made requires authentication.");
    }
    let (token, expires) = world.issue(tenant);
    let mut answer = Answer::new(
        201,
        json!({ "token": {
            "methods": ["password"],
            "issued_at": microseconds(world.wall()),
            "expires_at": microseconds(expires),
            "project": { "id": tenant, "domain": { "id": "default" } },
        } }),
    );
    answer.headers.push(("x-subject-token", token));
    answer
}

fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
