def peer(home, here, up, name="authlib", port=18131):
    return dict(
        name=name, port=port, env={"PORT": str(port), "AUTHLIB_INSECURE_TRANSPORT": "1"},
        cmd=[f"{home}/venvs/authlib/bin/gunicorn", "-w", "{workers}", "-k", "gthread", "--threads", "8", "--keep-alive", "75",
             "--chdir", f"{here}/../authlib", "--log-level", "warning", "-b", f"127.0.0.1:{port}", "server:app"],
        ready_path="/.well-known/oauth-authorization-server", meta_path="/.well-known/oauth-authorization-server",
        register_path="/register", authorize_path="/authorize", token_path="/token", scope="user", register_extra={"scope": "user"},
        workloads=["W7", "W1", "W2", "W3", "W4", "W6"], w6_get="/me",
        note="Authlib 1.9.6 Flask server, dict storage, auto-approve, gunicorn gthread")
