"""Who works at the desk, for whom, and which sensors report to it."""

from __future__ import annotations

from opensoar.accounts.models import ApiToken, Partner, User
from opensoar.accounts.services import actor_for_token, create_user, get_or_create_partner, issue_token
from opensoar.actors import Actor

TELLER = Actor.system("demo")

PARTNERS = {"acme": "Acme Retail", "hanse": "Hanse Logistik"}

# username: display name, role, partners (none: all)
PEOPLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "priya": ("Priya Nair", "analyst", ()),
    "tomas": ("Tomás Rivera", "lead", ()),
    "ada": ("Ada Lindqvist", "analyst", ()),
    "jonas": ("Jonas Weber", "analyst", ("acme",)),
    "sofia": ("Sofia Marín", "playbook_author", ()),
}


class Cast:
    """The people, partners and sensors of the demo, made as an admin would make them."""

    def __init__(self, password: str) -> None:
        self.partners: dict[str, Partner] = {}
        for key, name in PARTNERS.items():
            partner = get_or_create_partner(name, actor=TELLER)
            if partner is None:  # the settings refuse partners that alerts name; these are named by a person
                partner = Partner.objects.create(slug=name.lower().replace(" ", "-"), name=name)
            self.partners[key] = partner
        self.users: dict[str, User] = {
            username: create_user(
                actor=TELLER,
                username=username,
                display_name=name,
                email=f"{username}@soc.example",
                password=password,
                role=role,
                partners=[self.partners[key] for key in sees],
            )
            for username, (name, role, sees) in PEOPLE.items()
        }
        token, _forgotten = issue_token(actor=TELLER, name="Ticket sync", scopes=["read", "write"])
        self._script = actor_for_token(token)
        self._sensors: dict[tuple[str, str], ApiToken] = {}

    def actor(self, username: str) -> Actor:
        """The person as who does something; ``script`` is no person but a token."""
        return self._script if username == "script" else self.users[username].actor

    def sensor(self, source: str, partner: str) -> ApiToken:
        """The token that ``source`` sends ``partner``'s alerts with. Its plaintext is forgotten: nobody can use it."""
        if (source, partner) not in self._sensors:
            owner = self.partners[partner]
            self._sensors[source, partner] = issue_token(
                actor=TELLER, name=f"{source}, {owner.name}", scopes=["ingest"], partner=owner, source=source
            )[0]
        return self._sensors[source, partner]
