//! From a checked module to a runtime: here the parts are put together.

use super::{EgressTarget, Ingress, Module};
use crate::runtime::builder::EgressPlan;
use crate::runtime::egress::stdout::StdoutEgress;
use crate::runtime::{RuntimeBuilder, StartError, samples};

impl RuntimeBuilder {
    /// Binds everything that a module declares.
    ///
    /// # Errors
    /// When a declared part can't be built.
    pub fn module(mut self, module: &Module) -> Result<Self, StartError> {
        self.endpoints.extend(module.endpoints.iter().cloned());
        if module.samples {
            let functions = samples::functions().map_err(|error| StartError::Declared {
                what: format!("the sample functions: {error}"),
            })?;
            self = self.functions(functions);
        }
        for ingress in &module.ingresses {
            match ingress {
                Ingress::Http(spec) => self.ingresses.push(Box::new(spec.clone())),
                Ingress::Playground(spec) => self.ingresses.push(Box::new(spec.clone())),
            }
        }
        for egress in &module.egresses {
            let plan = match &egress.target {
                EgressTarget::Stdout => EgressPlan::Push(std::sync::Arc::new(StdoutEgress {
                    name: egress.id.clone(),
                })),
                EgressTarget::File(spec) => EgressPlan::File(spec.path.clone()),
                EgressTarget::Playground(spec) => EgressPlan::Playground(spec.clone()),
                EgressTarget::Http(_) => continue,
            };
            self.egresses.push((egress.id.clone(), plan));
        }
        Ok(self)
    }
}
