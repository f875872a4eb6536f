"""Registrations at an even pace on one connection, in a process of its own:  flood.py PORT REQUESTS_A_SECOND COUNT < request"""
import http.client
import json
import sys
import time


def main(port, rate, count):
    given = json.load(sys.stdin)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    began, statuses = time.perf_counter(), {}
    for n in range(count):
        time.sleep(max(0.0, began + n / rate - time.perf_counter()))
        body = json.dumps({**given["body"], "client_name": f"flood {n}"})
        connection.request("POST", given["path"], body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
    print(json.dumps({"statuses": statuses, "seconds": round(time.perf_counter() - began, 1)}))


main(*map(int, sys.argv[1:]))
