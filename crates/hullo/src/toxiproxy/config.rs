//! Toxiproxy's configuration: a JSON file with a list of proxies, which may have their toxics with them here.

use super::{Listening, Toxiproxy, answer::Problem, call::list, json::read};
use crate::error::{Error, Result};

impl Toxiproxy {
    /// Makes the proxies of a configuration, `[{"name": …, "listen": …, "upstream": …, "enabled": true, "toxics": […]}]`,
    /// and says which of them listen.
    ///
    /// # Errors
    /// What is wrong with it, or the first proxy that cannot listen.
    pub async fn load(&self, json: &[u8]) -> Result<Vec<Listening>> {
        self.loaded(json).await.map_err(Error::from)
    }

    async fn loaded(&self, json: &[u8]) -> Result<Vec<Listening>, Problem> {
        let all = read(json).and_then(list)?;
        let (made, problem) = self.populate(&all).await;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let mut listening = Vec::new();
        for (proxy, listed) in made.iter().zip(&all) {
            for toxic in &listed.toxics {
                proxy.add_toxic(toxic)?;
            }
            listening.extend(proxy.listening().await);
        }
        Ok(listening)
    }
}
