"""Hands what the environment says about callers to `accounts`: who else than keys and logins tells who they are."""

from accounts import hook, oidc
from accounts.jwks import IssuerKeys, check_address
from accounts.models import Role
from config.env import BadEnvironment, Environment
from core.url_guard import BlockedUrl
from runtime.configuration import current

ISSUER = "AGENT_SERVER_OIDC_ISSUER"


def install_authentication(env: Environment) -> None:
    """Once per process, when the apps are loaded and the runtime is configured. Raises `BadEnvironment`."""
    try:
        hook.install(env.auth_hook)
    except ValueError as error:
        raise BadEnvironment(f"AGENT_SERVER_AUTH: {error}") from error
    oidc.install(_issuer(env))


def _issuer(env: Environment) -> oidc.Issuer | None:
    if not env.oidc_issuer:
        for name, value in env.oidc_settings().items():
            if value:
                raise BadEnvironment(f"{name} means nothing without {ISSUER}.")
        return None
    if not env.oidc_audience:
        raise BadEnvironment("AGENT_SERVER_OIDC_AUDIENCE must say what tokens are made for: your name at the issuer.")
    if env.oidc_workspace and env.oidc_workspace_claim:
        raise BadEnvironment("Set AGENT_SERVER_OIDC_WORKSPACE or AGENT_SERVER_OIDC_WORKSPACE_CLAIM, not both.")
    role = env.oidc_default_role or Role.MEMBER.value
    if role not in set(Role):
        raise BadEnvironment(f"AGENT_SERVER_OIDC_DEFAULT_ROLE must be one of {', '.join(Role)}, not {role!r}.")
    guard = current().guard
    for name, url in ((ISSUER, env.oidc_issuer), ("AGENT_SERVER_OIDC_JWKS_URL", env.oidc_jwks_url)):
        try:
            if url:
                check_address(url, guard)
        except BlockedUrl as error:
            raise BadEnvironment(f"{name}: {error}") from None
    return oidc.Issuer(
        issuer=env.oidc_issuer,
        audience=env.oidc_audience,
        keys=IssuerKeys(env.oidc_issuer, env.oidc_jwks_url, guard),
        workspace=env.oidc_workspace or "default",
        workspace_claim=env.oidc_workspace_claim,
        role_claim=env.oidc_role_claim,
        default_role=Role(role),
        user_claim=env.oidc_user_claim or "sub",
    )
