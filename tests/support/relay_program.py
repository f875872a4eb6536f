"""A program that passes on what it is told, byte for byte: from standard input to a loopback port, and back.

python relay_program.py PORT
"""

import os
import socket
import sys
import threading

PIECE = 65_536


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        threading.Thread(target=_answers, args=(server,), daemon=True).start()
        while piece := os.read(0, PIECE):
            server.sendall(piece)


def _answers(server: socket.socket) -> None:
    while piece := server.recv(PIECE):
        while piece:
            piece = piece[os.write(1, piece) :]
    os._exit(0)


if __name__ == "__main__":
    main()
