"""The part of the management API that is about OAuth clients, and what people allowed them."""

from bifrost.authserver.endpoints.clients_api import (
    ChangeClient,
    ClientsApi,
    CreateClient,
    CreatedClient,
    ListClients,
    ShownClient,
    ShownClients,
)
from bifrost.authserver.endpoints.consents_api import ConsentsApi, ListConsents, ShownConsents
from bifrost.http.api import Api


def client_operations(api: Api, clients: ClientsApi) -> None:
    path, one = "/api/oauth2/clients", "/api/oauth2/clients/{id}"
    api.route(
        path,
        clients.list,
        "GET",
        operation="oauth_clients_list",
        summary="List the OAuth clients that somebody has allowed, and the pre-registered ones",
        takes=ListClients,
        gives=ShownClients,
    )
    api.route(
        path,
        clients.create,
        "POST",
        operation="oauth_client_create",
        summary="Register an OAuth client by hand",
        takes=CreateClient,
        gives=CreatedClient,
        status=201,
    )
    api.route(one, clients.show, "GET", operation="oauth_client", summary="One OAuth client", gives=ShownClient)
    api.route(
        one,
        clients.change,
        "PUT",
        operation="oauth_client_change",
        summary="Rename, limit, block or unblock an OAuth client",
        takes=ChangeClient,
        gives=ShownClient,
    )
    api.route(
        one,
        clients.remove,
        "DELETE",
        operation="oauth_client_remove",
        summary="Delete a pre-registered OAuth client and end its grants",
    )


def consent_operations(api: Api, consents: ConsentsApi) -> None:
    api.route(
        "/api/oauth2/consents",
        consents.list,
        "GET",
        operation="oauth_consents_list",
        summary="List what people allowed which client",
        takes=ListConsents,
        gives=ShownConsents,
    )
    api.route(
        "/api/oauth2/consents/{id}",
        consents.forget,
        "DELETE",
        operation="oauth_consent_forget",
        summary="Forget a consent: the next time everything is shown again; grants stay",
    )
