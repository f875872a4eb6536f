"""What an earlier version has sealed opens in every later one, or an update would make everybody sign in again."""

from dataclasses import replace

from bifrost.upstreams.models import OAuthConfig
from tests.unit.upstreams.test_vault import ANN, CREDENTIAL, REGISTRATION, SIGN_IN, UPSTREAM, VAULT

HEADERS = "v1.rsiwYQ.Ckb98y8KyXnm47JjqDydBVyHVDYmV6DMOVz6yOg9NljT1QusEOIavDwXFeQsWkBVH1_Gg6ONMmY"
OAUTH_CONFIG = (
    "v1.rsiwYQ.A73kl5Rovn4DnB6i3za6c70oEeEZsFXd2FwAahuSILNlDa6TB957dMDbHcM4n_Ih5safQO2D9R1PfxCyT_S4qGJ_qr"
    "tTsige4wIOJB_gMTZnLFDXxyKyXjAJlqXnwfMkCqHn3Hnbr8uK71AejBAfKa00VL4Lzkby8K9hsYJxkpJg2MJJbfedBuAQORn77w"
    "Z3H4bP5JeJTmt0"
)
REGISTERED = (
    "v1.rsiwYQ.xDpt-Ly2SyPV310v1A302gzim-VVWFlE5I1DVLCCAfa2ecoSY6EdzgAGOpK5IPxdgPoL-Ys_G9NpD7iU0yskGQ3X-H"
    "d3QgLecnkSSfVcsxnUB0WPr5Hhyg0HxpE4OvarzT_Uuh6KGksIPHNFILpuCaHBaAoFJwt3TPle4ZbYklDmEbKCgQyHk77Zf7Q"
)
BEGUN = (
    "v1.rsiwYQ.-mBChLH-Ud_TYHki9i-xCatqxUqL1-aMxNihciYsZhSbc4_HRIbn79OGxlFdyehHllHljQbWyU1YUyZ-eLeIU6pg6U"
    "27CNtDJx8AXsNOoi4UHQqDTkF9UgO66WuDYDNJbx5fha67bnyTBI_kbvh8LxIdIqxXKy2MsOEntlv8T5Asb5xNya9m3xwPgY2Rls"
    "TaxiAEkrmsN2rvsR7x5UUAESuveX1fD_gcF92yYoBlQOlkAEnHBVv-0w5omC7guppqcLlDs5rt31qz8sWrw8Np7PE6vC-6Xsmm2O"
    "nbFCn8I_4zVKk6dtXcUgr5mIoDWYyGgvZQh3D2ekSQlZvUo6rgXhyVjBPk4FZVWv6y4ELnYBO2Ol_jEyAc-yZQK1ip9lzkPzq7KF"
    "TU7_QtxuXAfwD7SVk9LNUZNx487h-R1MIat2T3TQfHOtSZiA-BEskaHiP6hi4HWj2M1z2SNvMzlHSG3mTojKnPfIV7V6MHygg2Yy"
    "9XGLV5XX96mDKyrM7CBAODk_Jz1ZwJ7DdfAzDZrXp_tNhw4rry5ItJjU3MtEJlJl4yVI76YbPCqCB_zomFhTKANT3BZTCLXCbcgj"
    "cUCv3qr-N8YyqJDjG3bt1hqeQW7Te40znwCAyFSIJmy15P7wPhIsuOT1FPZCksFG55a0dBv2K9dJqierblAnVgRW90iIh5zdPAef"
    "h7EASZdbMpZbQEd4NTJ0nGHR_e15wLPLP1bPnBvE-bQvik32mU3FVpRrb3_wrR0Asxuv04Aop6XIfw40xnMOIGxxiUAadHvsGfR9"
    "Uz3c5aTW_-yoT1qGV7W-OQOyuF4nVxsVXUJeMPGGBZQbSMQ87ONeHMnZ2bf_ZTssBMXlcXqEMND193R_MWJeXqBAFl24OL8N14OK"
    "tX_ZFnEc65W-bql_2xRw1W2nERUyH0y9IDR8322XCK2ITyAJoa0_9YalZkeTyin8QCxfmY55r8CeH73v3IvzKd-NhUDSXWrcFx3T"
    "9L9wO2SP7cQgwo8OvjWUCqOXTQpIW7xfg-ilHsPBnQc6h-t7uE2oSvpu_8ybJCLcXj"
)
HELD = (
    "v1.rsiwYQ.yE47h8VvQeDrCgosi4XbehJ1yBO341EKK-hIpU-Ff-wSvwGlZow0bFHmIenV1gvNl4F0scznKlvjOO6RVv4JeoX3ki"
    "v-g-g_aaQGbItOAgrNaxaqhSiiGd7O8npOUK72n-hyVf3RGh2-JY5lMrRWakHLWKjhh1iGxuF3468D7UnWycw6fgHkw-XInD1h8k"
    "nPxUSIYVvRcDZULKtiOoIdIuRKDVu1TvjhgLYqJHg63Sk5Ft5IQF8gzL-IwSK6uS6jmcII6ZQ3X3oR6L6nvtWiXFpeqcwPbzRjIz"
    "x7lhk_ElRa8mpmpdDTYKboOCFAS-gaaJYvQPViDfXhTHAnHwXJPRwatLKx3WdhSqFWjcqNeKgO_84x3FYYA5K7tjyIoo-2hn6jkr"
    "iRFe7PsBTH_OyM51l2Q8ZpUkFFBcSKSlak-hQRDIsXAJguTHrO_itreb5USvrT208VzH9-xFE1eJBYZrfsoCSWFFJ3L8OXCwJtPL"
    "IKfLy519XuOuZ7a-gtWRnLPaVP482NRooMFrzougwx0unMWElr7ztBL44MSoQR69kjKUc0TyYBqP0znxGjk1fPsCHEjlGn3aBWxU"
    "rBQ9NxaQ-_UEhWl5sHJhjtRWo2-mSEeg8fSKAnpkSpBDHT2EibBS_ED2yjx0xXwF2I-9IBFkuPgdK7E1W1T9ni3q7kkzemMzk6-A"
    "o3kXVB1jWwOROIv1kbDx_vsGmQZsP6fdJ6vS5n6SRuNjkYyVxVfamyitn9Ko7holvZXxntg2EfzYUR5O_JqDA1ZXqbwc1-Z_bxy6"
    "vK6PRA7hOW"
)
KEY = "v1.rsiwYQ.r0ANTOJKOTcjhGiDGiTAwYMN-AKohQAPn-AYbWOvbErqHgMH-q8SUgo"


def test_an_upstreams_own_secrets_open_after_an_update() -> None:
    """Contract §8: headers, configuration and registration of an administrator are kept for years."""
    assert VAULT.open_headers(replace(UPSTREAM, sealed_headers=HEADERS)) == {"Authorization": "Bearer x"}
    config = VAULT.open_oauth_config(replace(UPSTREAM, sealed_oauth_config=OAUTH_CONFIG))
    assert config == OAuthConfig(client_id="c", client_secret="hunter2")
    assert VAULT.open_registration("up_1", REGISTERED) == REGISTRATION


def test_a_persons_credential_opens_after_an_update() -> None:
    """Contract §8: a refresh token is held for as long as its person does not take it back."""
    assert VAULT.open_credential("up_1", ANN, HELD) == CREDENTIAL


def test_a_sign_in_begins_at_one_version_and_ends_at_another() -> None:
    """Contract §10: while replicas are updated one after the other, a browser meets both."""
    assert VAULT.open_sign_in("state-hash", BEGUN) == SIGN_IN


def test_the_gateways_own_key_opens_after_an_update_and_is_written_as_ever() -> None:
    """Contract §8: authorization servers know our client by it, and an earlier version may run beside this one."""
    assert VAULT.open_client_key(KEY) == b"a private key"
    assert VAULT.open_client_key(VAULT.seal_client_key(b"another")) == b"another"
