"""The secret of keyed templates: whose keys take it, and where it comes from.

A keyed template's keys are made with a secret that every member of the network has in a file of
its own, named by ``node.similarity_secret``. It is in no network file, no argument and no variable.
"""

from qisguard.errors import ScenarioError
from qisguard.identity.network import Network
from qisguard.identity.roster import Roster
from qisguard.outcomes.template import Template
from qisguard.service import identities
from qisguard.service.config import ServiceConfig


def secret_of(
    template: Template, config: ServiceConfig, network: Network, roster: Roster | None
) -> bytes | None:
    """Return what the keys of ``template`` are made with in a node's network; None for no secret.

    Raises:
        ScenarioError: the keys take a secret and the configuration names none.
        IdentityError: the file cannot be used, or is the secret of another network.
    """
    if not template.is_keyed(roster is not None):
        return None
    path = config.node.similarity_secret
    if path is None:
        why = "it says keyed = true" if template.keyed else "the network has a roster"
        raise ScenarioError(
            f"node.similarity_secret is not set in {config.path}, and the keys of template "
            f"{template.id} take a secret ({why}); every member has the same file: get it from "
            "another member, or make the first with: qisguard template secret FILE --node "
            f"{config.path}"
        )
    return identities.load_secret(path, network.id)
